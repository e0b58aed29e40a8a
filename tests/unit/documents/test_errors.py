"""Every mistake is named with its line, its field, what is wrong and what to do; all of a run's at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench_operator.documents import DocumentErrors, load

from .conftest import SHA, Refuser

BASE = f"""\
apiVersion: isobench.dev/v1alpha1
kind: Commit
metadata: {{name: one}}
spec:
  repository: {{url: repo}}
  head: {SHA}
  test: {{script: {{file: test.py}}}}
"""
GENERATE = "{generate: {models: [{provider: openai, model: m}]}}"
SCRIPT = "{script: {file: test.py}}"

# fmt: off
CASES = {
    "unknown field": (BASE + "  measurment: {}\n", 8, 3, "spec.measurment", "did you mean measurement?"),
    "unknown field deep": (BASE + "  measurement:\n    budgetSecond: 3\n", 9, 5, "spec.measurement.budgetSecond", "did you mean budgetSeconds?"),
    "snake case": (BASE + "  measurement: {budget_seconds: 3}\n", 8, 17, "spec.measurement.budget_seconds", "did you mean budgetSeconds?"),
    "unknown metadata": (BASE.replace("{name: one}", "{name: one, lables: {}}"), 3, 23, "metadata.lables", "did you mean labels?"),
    "abbreviated sha": (BASE.replace(SHA, "0f40557a"), 6, 9, "spec.head", "git rev-parse"),
    "sha of digits": (BASE.replace(SHA, "1" * 40), 6, 9, "spec.head", f'quotes: "{"1" * 40}"'),
    "negative budget": (BASE + "  measurement:\n    budgetSeconds: -3\n", 9, 20, "spec.measurement.budgetSeconds", "at least 1"),
    "float": (BASE + "  measurement: {minimumEffectPercent: 0.50}\n", 8, 39, "spec.measurement.minimumEffectPercent", '"0.50"'),
    "python as a float": (BASE + "  environment: {python: 3.10}\n", 8, 25, "spec.environment.python", '"3.10"'),
    "string for a list": (BASE + "  environment: {install: pip install .}\n", 8, 26, "spec.environment.install", '["pip install ."]'),
    "string for a number": (BASE + '  measurement: {budgetSeconds: "3"}\n', 8, 32, "spec.measurement.budgetSeconds", "remove the quotes"),
    "string for a mapping": (BASE + "  measurement: fast\n", 8, 16, "spec.measurement", "must be a mapping"),
    "no such choice": (BASE + "  environment: {inherit: imag}\n", 8, 26, "spec.environment.inherit", "did you mean image?"),
    "two sources": (BASE.replace(SCRIPT, f"{{script: {{file: test.py}}, {GENERATE[1:]}"), 7, 9, "spec.test", "keep one"),
    "no source": (BASE.replace(SCRIPT, "{}"), 7, 9, "spec.test", "add one"),
    "missing field": (BASE.replace(f"  head: {SHA}\n", ""), 4, 1, "spec.head", "is required"),
    "missing file": (BASE.replace("test.py", "none.py"), 7, 25, "spec.test.script.file", "does not exist"),
    "folder for a file": (BASE.replace("test.py", "tests"), 7, 25, "spec.test.script.file", "is no file"),
    "file beside a reference": (
        BASE.replace("{file: test.py}", "{file: test.py, configMapKeyRef: {name: a, key: b}}"),
        7, 25, "spec.test.script.file", "keep one",
    ),
    "unset variable": (BASE.replace(SCRIPT, GENERATE.replace("model: m", "model: m, env: NO_KEY")), 7, 64, "spec.test.generate.models[0].env", "export NO_KEY"),
    "missing folder": (BASE.replace(SCRIPT, GENERATE[:-2] + ", seeds: {folder: none}}}"), 7, 77, "spec.test.generate.seeds.folder", "relative"),
    "missing repository": (BASE.replace("url: repo", "url: nowhere"), 5, 21, "spec.repository.url", "does not exist"),
    "no git repository": (BASE.replace("url: repo", "url: tests"), 5, 21, "spec.repository.url", "is no git repository"),
    "missing config map": (
        BASE.replace("{file: test.py}", "{configMapKeyRef: {name: absent, key: t.py}}"),
        7, 43, "spec.test.script.configMapKeyRef.name", "no file holds a ConfigMap",
    ),
    "missing key": (
        BASE.replace("{file: test.py}", "{configMapKeyRef: {name: there, key: t.py}}")
        + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata: {t.pyx: x}\n",
        7, 55, "spec.test.script.configMapKeyRef.key", "did you mean t.pyx?",
    ),
    "missing secret": (BASE.replace("{url: repo}", "{url: repo, credentialsSecretRef: {name: git}}"), 5, 56, "spec.repository.credentialsSecretRef.name", "no file holds a Secret"),
    "near kind": (BASE.replace("kind: Commit", "kind: Comit"), 2, 7, "kind", "did you mean Commit?"),
    "no kind": (BASE.replace("kind: Commit\n", ""), 1, 1, "kind", "is required"),
    "version": (BASE.replace("v1alpha1", "v1"), 1, 13, "apiVersion", "write isobench.dev/v1alpha1"),
    "name": (BASE.replace("name: one", "name: One_1"), 3, 18, "metadata.name", "lower-case"),
    "label": (BASE.replace("{name: one}", "{name: one, labels: {a: b c}}"), 3, 35, "metadata.labels.a", "label"),
    "key of a label": (BASE.replace("{name: one}", "{name: one, labels: {a b: c}}"), 3, 31, "metadata.labels", "key of a label"),
    "annotation": (BASE.replace("{name: one}", "{name: one, annotations: {isobench.dev/retry: 1}}"), 3, 57, "metadata.annotations.isobench.dev/retry", '"1"'),
    "duplicate key": (BASE + f"  head: {SHA}\n", 8, 3, "spec.head", "first in line 6"),
    "duplicate name": (BASE + "---\n" + BASE, 11, 18, "metadata.name", "already"),
    "syntax": (BASE + "  pod: {env: [\n", 9, 1, "", "is no YAML"),
    "tab": (BASE + "\tpod: {}\n", 8, 1, "", "is no YAML"),
    "tag": (BASE + "  main: !!python/none x\n", 8, 9, "spec.main", "tag"),
    "number as a key": (BASE + "  1: x\n", 8, 3, "spec", "a key is no string"),
    "not a mapping": ("- a\n", 1, 1, "", "a manifest is a mapping"),
    "self-reference": (BASE + "  pod: &p {env: *p}\n", 8, 8, "spec.pod.env", "contains itself"),
    "control character": (BASE + "  main: a\x01b\n", 8, 10, "", "#x0001"),
    "password": (BASE.replace("url: repo", 'url: "https://u:hunter2@h/o/n"'), 5, 21, "spec.repository.url", "credentialsSecretRef"),
    "image to inherit": (BASE + "  environment: {inherit: image}\n", 8, 16, "spec.environment", "wants an image"),
    "too long": (BASE + f"  main: {'a' * 300}\n", 8, 9, "spec.main", "longer than 255"),
    "empty": (BASE + "  priorityClassName: ''\n", 8, 22, "spec.priorityClassName", "is empty"),
    "too many": (BASE + f"  environment: {{setup: {['a'] * 40}}}\n", 8, 24, "spec.environment.setup", "more than 32"),
    "no models": (BASE.replace(SCRIPT, "{generate: {models: []}}"), 7, 29, "spec.test.generate.models", "fewer than 1"),
    "unknown field of a config map": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndate: {}\n", 4, 1, "date", "did you mean data?"),
    "number in a config map": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: 010}\n", 4, 11, "data.x", '"010"'),
    "name of a config map": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}\n", 3, 18, "metadata.name", "lower-case"),
    "key of a config map": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a/b: x}\n", 4, 8, "data.a/b", "rename"),
    "large config map": (f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{x: {'y' * 1048577}}}\n", 1, 1, "", "1,048,578 bytes"),
    "base64": ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {x: '%%%'}\n", 4, 11, "data.x", "base64"),
    "dataset without a source": ("apiVersion: isobench.dev/v1alpha1\nkind: Dataset\nmetadata: {name: d}\nspec: {source: {}}\n", 4, 16, "spec.source", "commits is wanted"),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_at_its_place(case: str, refused: Refuser) -> None:
    text, line, column, path, words = CASES[case]
    errors = refused(text)
    assert [(error.line, error.column, error.path) for error in errors] == [(line, column, path)], errors[0]
    assert words in str(errors[0])
    assert errors[0].remedy


def test_a_line_reads_as_file_place_field_value_message_and_remedy(refused: Refuser, folder: Path) -> None:
    error = refused(BASE + "  measurement:\n    budgetSeconds: -3\n")[0]
    expected = (
        f"{folder / 'manifest.yaml'}:9:20: spec.measurement.budgetSeconds: -3: must be at least 1; write 1 or more"
    )
    assert str(error) == expected


def test_all_errors_of_all_files_come_at_once_in_order(folder: Path) -> None:
    (folder / "b.yaml").write_text(BASE.replace(SHA, "x") + "  suspend: maybe\n---\nkind: [\n")
    (folder / "a.yaml").write_text(BASE.replace("url: repo", "url: nowhere"))
    with pytest.raises(DocumentErrors) as caught:
        load([folder / "b.yaml", folder / "a.yaml", folder / "none.yaml"], environ={})
    found = [(error.file.name, error.line) for error in caught.value.errors]
    assert found == [("b.yaml", 6), ("b.yaml", 8), ("b.yaml", 11), ("a.yaml", 3), ("a.yaml", 5), ("none.yaml", 0)]
    assert str(caught.value).count("\n") == 5


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("url: repo", 'url: "https://u:hunter2@h/o/n"'),
        BASE.replace(SCRIPT, GENERATE.replace("model: m", "model: m, apiKey: hunter2")),
        BASE.replace(SCRIPT, GENERATE.replace("model: m", "model: m, env: hunter2-key")),
        BASE.replace(SCRIPT, GENERATE.replace("model: m", 'model: m, baseURL: "http://u:hunter2@h/v1"')),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {x: [hunter2]}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {x: hunter2}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringdata: {x: hunter2}\n",
    ],
)
def test_no_error_shows_a_secret(text: str, refused: Refuser) -> None:
    assert not any("hunter2" in str(error) for error in refused(text))


def test_nested_aliases_do_not_fill_the_memory(refused: Refuser) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than" in str(refused("\n".join(lines))[0])


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "{a: " * 3000])
def test_deep_nesting_is_an_error_and_no_crash(text: str, refused: Refuser) -> None:
    assert refused(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n"])
def test_a_file_without_a_document_is_an_error(text: str, refused: Refuser) -> None:
    assert "holds no document" in str(refused(text)[0])


def test_a_script_that_is_no_text_is_an_error(refused: Refuser, folder: Path) -> None:
    (folder / "test.py").write_bytes(b"\xff\xfe")
    assert "is no UTF-8 text" in str(refused(BASE)[0])


def test_a_manifest_that_is_no_text_or_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"a: \xff")
    with pytest.raises(DocumentErrors) as caught:
        load([tmp_path / "m.yaml", tmp_path], environ={})
    assert [error.message.split(":")[0] for error in caught.value.errors] == ["is no UTF-8 text", "is a folder"]


def test_a_folder_without_scripts_is_an_error(refused: Refuser, folder: Path) -> None:
    for script in (folder / "tests").iterdir():
        script.unlink()
    assert "holds no .py file" in str(refused(BASE.replace(SCRIPT, GENERATE[:-2] + ", seeds: {folder: tests}}}"))[0])


def test_a_broken_config_map_is_reported_once(refused: Refuser) -> None:
    broken = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata: {t.py: 1}\n"
    errors = refused(BASE.replace("{file: test.py}", "{configMapKeyRef: {name: there, key: t.py}}") + broken)
    assert [error.path for error in errors] == ["data.t.py"]
