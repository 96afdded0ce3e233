from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.host.journal import FILE, Journal, JournalWriter


def test_what_is_written_is_read_with_its_number_notes_merged_and_the_reverted_left_out(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append([{"meta": {"testbed": "t1"}}])
    assert writer.record([{"undo": "a"}, {"undo": "b"}]) == (1, 2)
    writer.append([{"note": {"state": "building", "x": 1}}, {"note": {"state": "complete"}}])
    assert writer.record([{"undo": "c"}, {"undo": "d"}]) == (3, 4)
    writer.append([{"reverted": 1}, {"undone": [3]}])
    read = Journal.read(tmp_path)
    assert read.meta == {"testbed": "t1"}
    assert [(one["n"], one["undo"]) for one in read.entries] == [(2, "b"), (4, "d")]
    assert read.notes == {"state": "complete", "x": 1}
    assert read.reverted == {1, 3}
    assert read.damaged == ()


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    first = JournalWriter(tmp_path)
    first.record([{"undo": "a"}])
    first.close()
    path = tmp_path / FILE
    with path.open("ab") as file:
        file.write(b'{"n":2,"undo":"half')
    assert [one["undo"] for one in Journal.read(tmp_path).entries] == ["a"]
    assert JournalWriter(tmp_path).record([{"undo": "b"}]) == (2,)
    assert [json.loads(line)["undo"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_named_and_the_rest_is_read(tmp_path):
    (tmp_path / FILE).write_text('{"n":1,"undo":"a"}\nrubbish\n{"n":3,"undo":"c"}\n')
    read = Journal.read(tmp_path)
    assert [one["undo"] for one in read.entries] == ["a", "c"]
    assert len(read.damaged) == 1
    assert f"{FILE}:2" in read.damaged[0]
    assert JournalWriter(tmp_path).record([{"undo": "d"}]) == (4,)


def test_no_journal_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(HostError, match=str(tmp_path / FILE)):
        Journal.read(tmp_path)


def test_an_entry_without_json_form_writes_nothing(tmp_path):
    writer = JournalWriter(tmp_path)
    with pytest.raises(HostError, match="no JSON form"):
        writer.record([{"undo": "a"}, {"undo": {1, 2}}])
    assert (tmp_path / FILE).read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_full_disk_is_an_error_and_leaves_whole_lines_only(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(tmp_path)], check=True)
    try:
        writer = JournalWriter(tmp_path)
        kept = writer.record([{"undo": "a", "text": "x" * 3000}])
        with pytest.raises(HostError, match=r"(?s)No space left.*nothing was done.*remedy: free"):
            writer.record([{"undo": "b", "text": "y" * 3000}, {"undo": "c", "text": "z" * 9000}])
        assert [one["n"] for one in Journal.read(tmp_path).entries] == list(kept)
        assert writer.record([{"undo": "small"}]) == (2,)
        assert Path(tmp_path, FILE).read_bytes().endswith(b'{"n":2,"undo":"small"}\n')
        writer.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
