from __future__ import annotations

import pytest

from kleio.core.redact import GONE, address, command, is_secret, is_secret_file, text, variables

KEY = "sk-" + "a1B2" * 8


@pytest.mark.parametrize(
    "name", ["--api-key", "HF_TOKEN", "password", "--db-password", "accessToken", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"]
)
def test_secret_names(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["TOKENIZERS_PARALLELISM", "--max-tokens", "--pad-token-id", "--token-dropout", "--key", "--tokens", "monkey", "--author"],
)
def test_harmless_names(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("argv", "safe"),
    [
        (["t", "--api-key", "X", "y"], ("t", "--api-key", GONE, "y")),
        (["t", "--password=X"], ("t", f"--password={GONE}")),
        (["t", "db.password=X"], ("t", f"db.password={GONE}")),
        (["t", "mongodb://me:pw@h/d"], ("t", f"mongodb://me:{GONE}@h/d")),
        (["t", KEY], ("t", GONE)),
        (["t", "https://TOKEN@h/x"], ("t", f"https://{GONE}@h/x")),
        (["t", "ssh://git@h/x", "postgres://u:p/w@d@h/x"], ("t", "ssh://git@h/x", f"postgres://u:{GONE}@h/x")),
        (["t", "https://h/x?a=1&token=T&b=2"], ("t", f"https://h/x?a=1&token={GONE}&b=2")),
        (
            ["t", "-password", "X", "-Dpassword=X", "password:X"],
            ("t", "-password", GONE, f"-Dpassword={GONE}", f"password:{GONE}"),
        ),
        (["t", "--db-pass", "X", "--pw=X", "--pass", "2"], ("t", "--db-pass", GONE, f"--pw={GONE}", "--pass", "2")),
        (["t", "Authorization: Bearer abcdefgh12"], ("t", f"Authorization: Bearer {GONE}")),
        (["t", '{"password": "x", "lr": "1"}'], ("t", f'{{"password": "{GONE}", "lr": "1"}}')),
        (["t", "--password", "--lr", "1"], ("t", "--password", "--lr", "1")),
        (["t", "--lr", "0.1"], ("t", "--lr", "0.1")),
    ],
)
def test_command(argv, safe):
    assert command(argv) == safe


def test_variables_and_text():
    assert variables({"HF_TOKEN": "x", "LANG": "C"}) == {"HF_TOKEN": GONE, "LANG": "C"}
    assert "pw" not in text("see mongodb://me:pw@host/db and more")


@pytest.mark.parametrize(
    "word",
    [
        "a" * 100_000 + "://@",
        "eyJ" * 33_000,
        "://" * 30_000 + "@",
        "a://" * 30_000 + "@",
        "a://b:" * 20_000 + "@",
        "-" * 100_000,
        "{'" * 50_000,
        "?a=" * 40_000,
    ],
)
def test_a_long_word_costs_no_more_than_its_length(word):
    """These took from seconds to hours where an expression tried every beginning with every end."""
    command([word])


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (".env", True),
        (".env.local", True),
        (".env.example", False),
        ("id_rsa", True),
        ("id_rsa.pub", False),
        ("server.pem", True),
        ("train.py", False),
        ("environment.yml", False),
        ("keys.py", False),
    ],
)
def test_files_that_hold_secrets(name, secret):
    assert is_secret_file(name) is secret


def test_a_remote_says_nothing_of_who_may_read_it():
    assert address("https://u:p/w@h/a.git?private_token=X") == "https://h/a.git"
    assert address("git@h:a/b.git") == "git@h:a/b.git"
