"""Prepared environments of tiny packages, as `prepare` would have left them, and a measuring Job over them run as a subprocess."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_runner.contract import MeasureRequest, Report, Revision
from isobench_runner.harness_archive import build_archive
from isobench_runner.reporting.measure import conclude
from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from isobench_runner.store import Store

PYTEST = ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments")
SCRUBBED = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def found_interpreters() -> list[Path]:
    """One CPython per minor version from 3.8 on: pyenv's and the one that runs the tests."""
    found: dict[str, Path] = {}
    for path in sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python")):
        major, minor, *_ = path.parent.parent.name.split(".")
        if int(minor) >= 8:
            found[f"{major}.{minor}"] = path
    return list(found.values()) or [Path(sys.executable)]


def make_environment(
    folder: Path, files: Mapping[str, str], *, python: str = sys.executable, pytest: bool = False
) -> Path:
    """Make `folder`/{tree,env}: the files of a revision, and a virtual environment without pip beside them.

    With `pytest` the environment also holds pytest, without the plugins that the tests of this repository use.
    """
    tree = folder / "tree"
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    if python == sys.executable:
        venv.create(folder / "env", with_pip=False, symlinks=True)
    else:
        subprocess.run([python, "-m", "venv", "--without-pip", str(folder / "env")], check=True, capture_output=True)
    if pytest:
        for site in (folder / "env/lib").glob("python3*/site-packages"):
            for name in PYTEST:
                (site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    return folder


@dataclass(frozen=True)
class Measured:
    """What a measuring container left in its output folder, and how it ended."""

    code: int
    output: str
    outcome: dict[str, Any]
    run: dict[str, Any]
    rounds: list[dict[str, Any]]
    names: list[str]
    folder: Path

    @property
    def reason(self) -> str | None:
        """The typed reason, None for success."""
        reason: str | None = self.outcome["reason"]
        return reason

    @property
    def why(self) -> str:
        """The reason and its evidence, for a failed assertion."""
        return f"{self.reason}: {self.outcome['tail']}\n{self.output}"

    def report(self, store: Store, *, role: str = "head") -> Report:
        """What the trusted report makes of it."""
        names = ("base", "base2" if role == "base" else role)
        revisions = tuple(Revision(name=one, sha="a" * 40, environment="sha256:" + "0" * 64, key="k") for one in names)
        request = MeasureRequest(
            commit="c", nonce="n", repository_url="/x", repository="o/x", role=role, revisions=revisions,
            test="sha256:" + "1" * 64, origin="given", inputs="sha256:" + "2" * 64,
        )  # fmt: skip
        return conclude(request, self.folder, store)

    def summary(self, other: str, *, minimum_effect_percent: float = 2.0) -> Summary:
        """What the trusted report would compute from these rounds."""
        content = "\n".join(map(json.dumps, self.rounds)).encode()
        found = summarise(
            parse_rounds(content, base="base", other=other)[0],
            loops=self.run["plan"]["loops"],
            rule=Rule(delta=minimum_effect_percent / 100),
            distinct_inputs=(self.run["calibration"] or {}).get("distinct") is True,
        )
        assert found is not None, self.why
        return found


@dataclass(frozen=True)
class Job:
    """A measuring Job's folder: the environments of its revisions, base first, by the names of the plan."""

    root: Path
    environments: Mapping[str, Path]

    def measure(
        self,
        test: str,
        *,
        parent: str = sys.executable,
        within: float = 120.0,
        memory: int | None = None,
        alone: bool = False,
        environ: Mapping[str, str] | None = None,
        **plan: Any,
    ) -> Measured:
        """Write plan.json and test.py, run `harness.pyz measure` as its container would, and read what it left.

        Args:
            memory: bytes of data that a process may hold, as a container's limit would have it.
            alone: in a PID namespace of its own, as in a container.
        """
        folder = self.root / f"job{len(list(self.root.glob('job*')))}"
        for name in ("in", "out", "tmp"):
            (folder / name).mkdir(parents=True)
        build_archive(folder / "in" / "harness.pyz")
        (folder / "in" / "test.py").write_text(test)
        (folder / "in" / "plan.json").write_text(json.dumps(make_plan(self.environments, **plan)))
        limited = ["prlimit", f"--data={memory}"] if memory else []
        if alone:
            limited = [
                *["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"],
                *limited,
            ]
        command = [*limited, parent, "-I", "-S", str(folder / "in" / "harness.pyz"), "measure"]
        places = ["--in", str(folder / "in"), "--out", str(folder / "out")]
        variables = SCRUBBED | {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp")} | dict(environ or {})
        done = subprocess.run(
            [*command, *places],
            env=variables,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            start_new_session=True,
        )
        return _read(folder / "out", done)


def _read(out: Path, done: subprocess.CompletedProcess[str]) -> Measured:
    def text(name: str) -> str:
        path = out / name
        return path.read_text() if path.exists() else ""

    lines = [json.loads(line) for line in text("rounds.jsonl").splitlines()]
    outcome, run = json.loads(text("outcome.json") or "{}"), json.loads(text("run.json") or "{}")
    return Measured(
        done.returncode,
        done.stdout + done.stderr,
        outcome,
        run,
        lines,
        sorted(path.name for path in out.iterdir()),
        out.parent,
    )


def make_plan(environments: Mapping[str, Path], **changes: Any) -> dict[str, Any]:
    """A measuring plan over prepared environments; `role` follows from the second revision's name."""
    names = list(environments)
    revisions = [
        {
            "name": name,
            "sha": str(number) * 40,
            "env_dir": str(folder),
            "key": folder.name,
            "python": str(folder / "env/bin/python"),
            "tree": str(folder / "tree"),
        }
        for number, (name, folder) in enumerate(environments.items())
    ]
    plan: dict[str, Any] = {
        "v": 1,
        "kind": "measure",
        "role": "base" if names[1] == "base2" else names[1],
        "revisions": revisions,
        "origin": "given",
        "package": "tiny",
        "path": ["."],
        "changed": [],
        "budget_seconds": 4,
        "minimum_effect_percent": "2",
        "floor_percent": None,
        "timeout_seconds": 90,
        "ask_better": False,
        "seed": 7,
        "interpreter": None,
    }
    return plan | changes


def changed_function(source: str, qualname: str, *, path: str = "tiny/__init__.py") -> list[dict[str, Any]]:
    """The plan's entry for a function of a module, found by its `def` line; its body runs to the next blank line."""
    lines = source.splitlines()
    start = next(number for number, line in enumerate(lines, 1) if line.startswith(f"def {qualname}("))
    end = next(
        (number for number in range(start, len(lines) + 1) if number == len(lines) or not lines[number].strip()), start
    )
    return [
        {
            "path": path,
            "side": "base",
            "qualname": qualname,
            "start": start,
            "end": end,
            "lines": list(range(start + 1, end + 1)),
        }
    ]


def six(
    *,
    setup: str = "return 1",
    experiment: str,
    check: str = "assert a == b",
    head: str = "import tiny",
    extra: Sequence[str] = (),
) -> str:
    """A script of the six functions; bodies are one-liners, results are kept as JSON."""
    signature = "seed" if "seed" in setup else ""
    return "\n".join(
        [
            "import json",
            head,
            *extra,
            f"def setup({signature}): {setup}",
            f"def experiment(data): {experiment}",
            "def store_result(result, path): open(path, 'w').write(json.dumps(result))",
            "def load_result(path): return json.load(open(path))",
            f"def check_equivalence(a, b): {check}",
            "def run_test(eqcheck=False, reference=False, prefix=''): return 0.0",
            "",
        ]
    )
