"""The notebook of the paper runs from its first cell to its last."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")
pytest.importorskip("matplotlib", reason="the report is not installed: pip install 'mien[report]'")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "paper.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "clear the outputs"
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102  it is our own file
    shown = capsys.readouterr().out
    assert "Table 10. Statistical measures" in shown
    assert Path(shown.split()[-1]).is_file(), "the report"
