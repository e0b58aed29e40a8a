"""The contract of the six functions as the worker calls them: seeds, fresh inputs, the order of a check's arguments.

`setup()` or `setup(seed)`, `experiment(data)`, `store_result(result, path)`, `load_result(path)`, `check_equivalence(a, b)`. Nothing
about time, pipes or processes may enter.
"""

import copy
import random
import sys
from types import FunctionType
from typing import Any, Callable, List, Optional, Tuple

REQUIRED = ("setup", "experiment", "store_result", "load_result", "check_equivalence")
SEED_NAMES = ("seed", "random_seed", "rng_seed")


class ContractError(Exception):
    """The test does not have the functions that it promised."""


def _parameters(function: Callable[..., Any]) -> Optional[List[Tuple[str, bool]]]:
    """The positional ones: name, and whether it has no default; None where nobody knows."""
    while "__wrapped__" in getattr(function, "__dict__", ()) and "__signature__" not in vars(function):
        function = vars(function)["__wrapped__"]
    if type(function) is FunctionType and "__signature__" not in vars(function):
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        required = len(names) - len(function.__defaults__ or ())
        return [(name, index < required) for index, name in enumerate(names)]
    import inspect  # dear, and hardly ever needed

    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [(one.name, one.default is one.empty) for one in found if one.kind in positional]


def takes_seed(function: Callable[..., Any]) -> bool:
    """Whether setup wants a seed: its first parameter has no default or is named as one."""
    parameters = _parameters(function)
    if not parameters:
        return False
    name, required = parameters[0]
    return required or name in SEED_NAMES


def reference_is_second(function: Callable[..., Any]) -> bool:
    """Whether a check's reference is its second argument: the parameter whose name begins with `ref` takes it, else the first does."""
    names = [name for name, _ in _parameters(function) or []]
    return len(names) > 1 and names[1].startswith("ref") and not names[0].startswith("ref")


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    if numpy_random is not None:
        numpy_random.seed(seed % (1 << 32))
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(seed)


class Contract:
    """The six functions of one imported test.

    Attributes:
        seeded: whether setup takes a seed.
        mode: where a sample's inputs come from: `seed` (setup(seed)), `copy` (a deep copy of the first), `setup` (setup again) or
            `once` (the first, in a process that makes one sample).
    """

    def __init__(self, module: Any) -> None:
        missing = [name for name in REQUIRED if not callable(getattr(module, name, None))]
        if missing:
            raise ContractError("the test has no function {}".format(", ".join(missing)))
        self._setup = module.setup
        self._experiment = module.experiment
        self.store = module.store_result
        self.load = module.load_result
        self._check = module.check_equivalence
        self._reference_second = reference_is_second(module.check_equivalence)
        self.seeded = takes_seed(module.setup)
        self._wants_data = _parameters(module.experiment) != []
        self.mode = "seed"
        self._data: Any = None
        self._seed: Optional[int] = None

    def first(self, seed: int, mode: Optional[str]) -> str:
        """Run setup once and settle, or obey, where inputs come from; returns the mode."""
        self._data, self._seed = self._run_setup(seed), seed
        if mode is not None:
            self.mode = mode
        elif self.seeded:
            self.mode = "seed"
        else:
            self.mode = "copy" if self.can_copy() else "setup"
        return self.mode

    def _run_setup(self, seed: int) -> Any:
        _seed_everything(seed)
        return self._setup(seed) if self.seeded else self._setup()

    def can_copy(self) -> bool:
        """Whether the inputs have a deep copy."""
        if self.mode == "setup":
            return False
        if self._data is None and self._seed is not None:
            self._data = self._run_setup(self._seed)
        try:
            copy.deepcopy(self._data)
        except Exception:
            return False
        return True

    def fresh(self, seed: int) -> Any:
        """Inputs that no sample has used before; setup's own first where they are those of this seed, so that an engine is not built beside another."""
        if self.mode in ("seed", "setup"):
            data, self._data = self._data, None
            if data is None or seed != self._seed:
                data = None
                data = self._run_setup(seed)
            return data
        if self.mode == "copy":
            return copy.deepcopy(self._data)
        return self._data

    def experiment(self, data: Any) -> Any:
        """One call of what is timed."""
        return self._experiment(data) if self._wants_data else self._experiment()

    def function(self) -> Callable[[Any], Any]:
        """What a timed loop calls: the test's own function where it takes the data."""
        return self._experiment if self._wants_data else self.experiment

    def differs(self, reference: Any, other: Any) -> Optional[str]:
        """None where the check calls the two equal, else its words.

        Raises:
            Exception: the check itself failed with anything but an AssertionError.
        """
        pair = (other, reference) if self._reference_second else (reference, other)
        try:
            answer = self._check(*pair)
        except AssertionError as error:
            return str(error)[:2000] or "AssertionError"
        if answer is False or (type(answer).__name__ == "bool_" and not answer):
            return "check_equivalence returned False"
        return None
