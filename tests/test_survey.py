from __future__ import annotations

from kleio.core import survey
from kleio.core.config import Config
from kleio.core.journal import open_journal
from kleio.core.survey import Survey
from kleio.core.trial import Trial


def test_a_live_trial_is_found_behind_any_number_of_newer_ones(journal_uri, monkeypatch, tmp_path):
    monkeypatch.setattr(survey, "NEWEST", 5)
    journal = open_journal(journal_uri)
    for number in range(20):
        journal.create(Trial(f"{number:032x}", "w" * 32, "p", ("x",), ".", float(number)))
    journal.claim(f"{3:032x}", "e" * 32, {}, 60)
    found = Survey(journal, str(tmp_path), Config(), None, "w" * 32, "x").entries()
    assert [int(entry.id, 16) for entry in found] == [19, 18, 17, 16, 15, 3]
    journal.close()
