"""Rows on disk: their schema, what survives a cut, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment.rows import RowFile, read_rows, row_to_json
from pytest_kinda.experiment.schema import schema
from tests.support.experiments import row, rows


def write(path: Path, *some: object) -> Path:
    with RowFile(path) as file:
        file.append(some)  # type: ignore[arg-type]
    return path


def test_every_row_fits_the_schema_that_the_command_prints() -> None:
    printed = json.loads(CliRunner().invoke(kinda, ["schema", "rows"]).stdout)
    assert printed == schema()
    validator = jsonschema.Draft202012Validator(printed)
    validator.check_schema(printed)
    for one in rows({"a": [1.0, None], "b": [2.0]}):
        validator.validate(row_to_json(one))
    for broken in ({"value": None, "row": "value"}, {"outcome": None}, {"arm": 3}):
        data = {**row_to_json(next(iter(rows({"a": [1.0]})))), "row": "end", **broken}
        assert not validator.is_valid(data), broken


def test_each_row_is_on_disk_when_append_returns_and_files_are_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "one.jsonl"
    some = list(rows({"a": [1.0, 2.0]}))
    with RowFile(path) as file:
        for number, one in enumerate(some, start=1):
            file.append([one])
            assert len(read_rows(path)) == number
    write(path, *some)
    assert read_rows(path) == [*some, *some]


def test_a_line_that_was_cut_short_is_left_out_and_no_other(tmp_path: Path) -> None:
    path = write(tmp_path / "one.jsonl", *rows({"a": [1.0, 2.0]}))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(read_rows(path)) == 3
    path.write_bytes(whole.replace(b'"row"', b'"ro', 1))
    with pytest.raises(ExperimentError, match=r"one.jsonl:1: found no JSON object"):
        read_rows(path)
    path.write_bytes(whole.replace(b"trial/1", b"trial/9", 1))
    with pytest.raises(ExperimentError, match="found 'pytest-kinda/trial/9'"):
        read_rows(path)


def test_rows_of_later_versions_may_have_more(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({**row_to_json(row()), "weather": "fine"}) + "\n")
    assert read_rows(path) == [row()]
    data = row_to_json(row())
    del data["arm"]
    path.write_text(json.dumps(data) + "\n")
    with pytest.raises(ExperimentError, match="lacks fields"):
        read_rows(path)


def test_of_a_folder_of_runs_the_newest_counts(tmp_path: Path) -> None:
    for run in ("20260102T000000Z-9", "20260101T000000Z-1"):
        write(tmp_path / run / "one.jsonl", row(run=run))
        write(tmp_path / run / "two.jsonl", row(run=run))
    assert {one.run for one in read_rows(tmp_path)} == {"20260102T000000Z-9"}
    assert len(read_rows(tmp_path / "20260101T000000Z-1")) == 2
    with pytest.raises(ExperimentError, match="--kinda-results"):
        read_rows(tmp_path / "nowhere")
