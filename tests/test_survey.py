from __future__ import annotations

from kleio.core import survey
from kleio.core.code import CodeVersion
from kleio.core.config import Config
from kleio.core.journal import open_journal
from kleio.core.survey import Survey
from kleio.core.trial import Trial


def test_a_live_trial_is_found_behind_any_number_of_newer_ones(journal_uri, monkeypatch, tmp_path):
    monkeypatch.setattr(survey, "NEWEST", 5)
    journal = open_journal(journal_uri)
    for number in range(20):
        journal.create(Trial(f"{number:032x}", "w" * 32, "p", ("x",), ".", float(number)))
    journal.claim(f"{3:032x}", "e" * 32, {}, 600)
    found = Survey(journal, str(tmp_path), Config(), None, "w" * 32, "x").entries()
    assert [int(entry.id, 16) for entry in found] == [19, 18, 17, 16, 15, 3]
    journal.close()


def test_code_that_git_did_not_tell_of_in_time_compares_equal(journal_uri, tmp_path):
    journal = open_journal(journal_uri)
    certain = Trial("a" * 32, "w" * 32, "p", ("x",), ".", 1.0, code={"fingerprint": "1"})
    late = Trial("b" * 32, "w" * 32, "p", ("x",), ".", 2.0, code={"fingerprint": "2", "uncertain": "git was slow"})
    for trial in (certain, late):
        journal.create(trial)

    def same(fingerprint, **document):
        here = CodeVersion("/", "p", fingerprint, document)
        survey = Survey(journal, str(tmp_path), Config(), here, "w" * 32, "x")
        return [one.same_code for one in survey.found(survey.entries())]

    assert same("1") == [True, True]
    assert same("3") == [True, False]
    assert same("3", uncertain="git was slow") == [False, True]  # of what was seen in the same way, something differs
    assert same("2", uncertain="git was slow") == [True, True]
    journal.close()
