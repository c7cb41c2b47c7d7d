from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import kleio
from kleio.core import secret_defaults
from kleio.core.redact import GONE, address, command, is_secret, is_secret_file, secret_in, secret_in_file, text, variables

KEY = "sk-" + "a1B2" * 8


@pytest.mark.parametrize(
    "name", ["--api-key", "HF_TOKEN", "password", "--db-password", "accessToken", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY",
     "PGPASSWORD", "MYPASSWORD", "mysqlpass", "dbpwd", "REDISCLI_AUTH", "SSHPASS", "MYSQL_PWD", "openaiapikey", "GITHUBTOKEN",
     "clientsecret", "AWSSECRETKEY", "db.userpassword", "ldappassword2", "apitoken", "trainer.wandb_key"],
)  # fmt: skip
def test_secret_names(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["TOKENIZERS_PARALLELISM", "--max-tokens", "--pad-token-id", "--token-dropout", "--key", "--tokens", "monkey", "--author",
     "tokenizer", "keypass", "bypass", "lowpass", "compass", "OLDPWD", "GIT_ASKPASS", "nopasswd", "subtoken", "EOSTOKEN",
     "PADTOKEN", "githubtokens", "tokenization", "mytoken", "passes", "secretary", "bandpass_filter", "sort_key", "keyring"],
)  # fmt: skip
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
        (["t", "-pX", "--auth-type", "basic", "--token-file", "f"], ("t", "-pX", "--auth-type", "basic", "--token-file", "f")),
        (["curl", "-H", "X-Api-Key: abc", "h"], ("curl", "-H", f"X-Api-Key:{GONE}", "h")),
        (["sh", "-c", "x; TOKEN=a run --api-key 'a b' --n 3"], ("sh", "-c", f"x; TOKEN={GONE} run --api-key {GONE} --n 3")),
        (["sh", "-c", 'run --password="$PW" $TOKEN; f(token=x)'], ("sh", "-c", f'run --password={GONE} $TOKEN; f(token=x)')),
        (["t", "the token of a word"], ("t", "the token of a word")),
    ],
)
def test_command(argv, safe):
    assert command(argv) == safe


@pytest.mark.parametrize(
    ("argv", "safe"),
    [
        (["python", "-c", 'password = "hunter2x"'], f'password = "{GONE}"'),
        (["python", "-c", "import os\npassword = 'hunter2x'\nx=1"], f"import os\npassword = '{GONE}'\nx=1"),
        (["python", "-c", 'os.environ["WANDB_API_KEY"] = "abc"; main()'], f'os.environ["WANDB_API_KEY"] = "{GONE}"; main()'),
        (["python", "-c", 'f(lr=1,password="a\\"b")'], f'f(lr=1,password="{GONE}")'),
        (["python", "-c", 'token: str = "x"'], f'token: str = "{GONE}"'),
        (["python", "-c", 'if token == "x": f(tokens="y", token=z)'], 'if token == "x": f(tokens="y", token=z)'),
        (["python", "-c", 'password = getpass("Password: ")'], 'password = getpass("Password: ")'),
        (["python", "-c", 'password = os.environ["X_1234"]'], 'password = os.environ["X_1234"]'),
        (["t", "+db={user:me,password:hunter,port:5}"], f"+db={{user:me,password:{GONE},port:5}}"),
        (["t", '{"password": 12345, "lr": 1}'], f'{{"password": {GONE}, "lr": 1}}'),
        (["t", '{"password": null, "token": {"a": 1}}'], '{"password": null, "token": {"a": 1}}'),
        (["sh", "-c", 'curl -d "{\\"password\\": \\"x\\"}" h'], f'curl -d "{{\\"password\\": \\"{GONE}\\"}}" h'),
        (["sh", "-c", "python t.py +api_key=X db.password=Y lr=1"], f"python t.py +api_key={GONE} db.password={GONE} lr=1"),
        (["sh", "-c", 'curl -H "X-Api-Key: a1b2c3d4e5" h'], f'curl -H "X-Api-Key: {GONE}" h'),
        (["sh", "-c", "TOKEN=a python b.py"], f"TOKEN={GONE} python b.py"),
        (["nice", "/bin/bash", "-ec", "PASSWORD=a b"], f"PASSWORD={GONE} b"),
        (["t", "-c", "password=correct horse"], f"password={GONE}"),
        (["sh", "-c", "mysql -uroot -phunter2x db; true"], f"mysql -uroot -p{GONE} db; true"),
        (["sh", "-c", 'mysqldump -p"$PW" db && mysql -p db'], 'mysqldump -p"$PW" db && mysql -p db'),
        (["sh", "-c", "curl -u user:hunter http://h; mkdir -p x"], f"curl -u user:{GONE} http://h; mkdir -p x"),
        (["sh", "-c", "sshpass -p hunter ssh h"], f"sshpass -p {GONE} ssh h"),
        (["t", "Server=x;Password=hunter;User=z"], f"Server=x;Password={GONE};User=z"),
        (["t", "tokens/token-count=5", "keys: a, b"], "keys: a, b"),
    ],
)
def test_what_is_written_inside_a_word(argv, safe):
    assert command(argv) == (*argv[:-1], safe)


GLUED = ["ghp_" + "A1b2C3d4E5" * 3 + "f6G7h8", "hf_" + "QwErTy12AsDf34ZxCv56" * 2, "AKIA" + "Q3ZXCVBN4MASDF56",
         "sk-" + "proj-Zr8kq2LmPx7Vb3Nc5Td9Wf1Hj", "glpat-" + "x7Kq2_mNbV4cZ9aSdF3g",
         "xoxb-" + "902817465120-ZrKqLmPxVb"]  # fmt: skip


@pytest.mark.parametrize("key", GLUED)
@pytest.mark.parametrize("around", ["{}", "a={}", "a:{}", "n{}", "b-{}", "x_{}", "my {}, again", "/x/{}", "({})", "{}.py"])
def test_a_key_anywhere_in_a_remark(key, around):
    assert text(around.format(key)) == around.format(GONE)


@pytest.mark.parametrize(
    "said",
    ["password=hunter2", "api_key=abcdef", "token=abc123def4", "the password: hunter2", "my token: a1b2c3d4e5", "pw=hunter2"],
)
def test_a_secret_that_a_remark_names(said):
    assert text(said).endswith(GONE)


@pytest.mark.parametrize(
    "said",
    [
        "fix token: see above", "auth: oauth2", "task-classification-with-lm-head-2",
        "task-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "disk-2024-01-02-first-results-of-all", "token handling in v2.1", "feature/token-auth-2", "tokens=12345678",
        "passes: 10000a1",
        "key: the number 5", "api key: your-api-key", "password: ${DB_PASSWORD1}", "keyword=best1234",
        "golf_is_a_sport_for_30_people",
        "lr=0.1, tokenizer: gpt2-medium-1b2c",
    ],
)  # fmt: skip
def test_a_remark_without_a_secret(said):
    assert text(said) == said


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
        " --a" * 40_000,
        "a= '" * 40_000,
        "pw=\"" * 25_000,
        "pw=\\\"" * 25_000,
        "pw : [ " * 20_000,
        "{pw:" * 25_000,
        "pw: a1" * 20_000,
        "mysql -" * 15_000,
        "curl -u a" * 12_000,
        "sk-" * 40_000,
        "ghp_" * 30_000,
        "token" + "=" * 100_000,
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
    assert address("ssh://git@h/a.git") == "ssh://git@h/a.git"
    assert address("ssh://git:pass@h:22/a.git?x=y") == "ssh://git@h:22/a.git"
    assert address("git+ssh://git@h/a.git") == "git+ssh://git@h/a.git"
    assert address("https://user@h/a.git") == "https://h/a.git"
    assert address("ssh://h/a.git") == "ssh://h/a.git"


GITHUB = "ghp_" + "A1b2C3d4E5" * 3 + "f6G7h8"
HUGGING = "hf_" + "QwErTy12AsDf34ZxCv56" * 2
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----"
BASE64 = "MIIEpAIBAAKCAQEA7bq9Kd0c3JmZs1Xh8fWv2RtYuLpQnE5gTj6BiOaDxCyHkMz4"
JWT = "eyJhbGciOiJIUzI1NiJ9."
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


@pytest.mark.parametrize(
    ("path", "line", "why"),
    [
        # keys of a known shape, anywhere
        ("a.py", f'login("{GITHUB}")', "a token of GitHub's"),
        ("a.ipynb", f'"source": ["login({HUGGING!r})\\n"]', "a token of Hugging Face's"),
        ("a.ipynb", f'"x = 1\\n{HUGGING}"', "a token of Hugging Face's"),
        ("notes", "use sk-" + "proj-Zr8kq2LmPx7Vb3Nc5Td9Wf1Hj for now", "a key of an API"),
        ("a.csv", "1,AKIA" + "Q3ZXCVBN4MASDF56", "a token of AWS's"),
        ("a.txt", "glpat-" + "x7Kq2_mNbV4cZ9aSdF3g", "a token of GitLab's"),
        ("a.bin", "\0\1AIza" + "SyB1c2D3e4F5g6H7i8J9k0LmNoPqRsTuVwX", "a token of Google's"),
        ("a.js", JWT + "eyJzdWIiOiIxMjM0In0." + "dBjftJeZ4CVPmB92K27uhbUJU1p1r0wW1gFWFOEjXk", "a web token"),
        ("a.js", JWT + "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvIn0." + "dBjftJeZ4CVPmB92K27", "a web token"),
        ("a.yaml", f"key: |\n  {PEM}\n  {BASE64}\n", "a private key"),
        ("a.py", f'KEY = "{PEM}\\n{BASE64}"', "a private key"),
        ("a.bin", f"\0{PEM}\n{BASE64}\n", "a private key"),
        # addresses
        ("a.py", 'connect("mongodb://' + 'me:hunter22@db.lab.org/x")', "a password in an address"),
        (".gitmodules", "url = https://" + "oauth2:Zr8kq2LmPx@git.lab.org/x.git", "a password in an address"),
        ("a.md", "git clone https://" + "a1b2c3d4e5f6a7b8c9d0e1f2@git.lab.org/x", "a token in an address"),
        ("a.py", '"https://hooks.slack.com/services/' + 'T0AB12CD3/B0EF45GH6/aB3dE5fG7hI9jK1lM3nO"', "a token in an address"),
        ("a.py", 'get("https://h/x?a=1&api_key=' + 'k3j4h5g6f7")', "a value for api_key"),
        ("a.cs", '"Server=h;Password=' + 'Zr8kq2Lm;"', "a value for Password"),
        # config files: whatever has a secret name
        ("a.yaml", "password: hunter", "a value for password"),
        ("a.yml", "  db_password: 'correct horse battery'  # mine", "a value for db_password"),
        ("a.yaml", "db: {user: me, password: hunter, port: 5}", "a value for password"),
        ("a.yaml", "- api_key: abcd", "a value for api_key"),
        ("a.yaml", "token: abc123", "a value for token"),
        ("a.yaml", "password: 12345", "a value for password"),
        ("a.yaml", "# password: hunter2", "a value for password"),
        ("a.json", '{"user": "me","password":"hunter"}', "a value for password"),
        ("a.json", '{"password": 123456}', "a value for password"),
        ("a.json", '{"auths": {"h": {"auth": "bWU6aHVudGVyMg=="}}}', "a value for auth"),
        ("a.toml", 'secret_key = "k9#fj2"', "a value for secret_key"),
        ("a.ini", "passwd=hunter", "a value for passwd"),
        (".env", f"WANDB_API_KEY={HEX}", "a value for WANDB_API_KEY"),
        (".env.local", "export DB_PASS=hunter", "a value for DB_PASS"),
        ("a.properties", "spring.datasource.password=hunter", "a value for spring.datasource.password"),
        (".npmrc", "//registry.npmjs.org/:_authToken=3f2c1d0e-aaaa", "a value for authToken"),
        ("a.yaml", "api_key: ${oc.env:API_KEY,hunter22}", "a value for api_key"),
        ("compose.yml", 'environment: {PASSWORD: "${DB_PASSWORD:-hunter22}"}', "a value for PASSWORD"),
        # shell scripts
        ("job.sh", "export DB_PASSWORD=${DB_PASSWORD:-hunter22}", "a value for DB_PASSWORD"),
        ("job.sh", 'API_KEY="${API_KEY:=k3j4h5g6f7}"', "a value for API_KEY"),
        ("job.sh", f"export WANDB_API_KEY={HEX}", "a value for WANDB_API_KEY"),
        ("job.slurm", "python train.py --api-key abcd1234", "a value for api-key"),
        ("job.sh", "mysql --password=hunter x", "a value for password"),
        ("job.sh", 'TOKEN="abc123def"', "a value for TOKEN"),
        ("job.sh", f"curl -H 'Authorization: Bearer {HEX}' h", "a value for Authorization"),
        # source: a literal that looks like one
        ("a.py", 'PASSWORD = "hunter22"', "a value for PASSWORD"),
        ("a.py", "connect(password='hunter22')", "a value for password"),
        ("a.py", f'os.environ["WANDB_API_KEY"] = "{HEX}"', "a value for WANDB_API_KEY"),
        ("a.py", 'password: str | None = "hunter22"', "a value for password"),
        ("a.py", f'headers = {{"X-Auth-Token": "{HEX}"}}', "a value for X-Auth-Token"),
        ("a.ipynb", '"source": ["password = \\"hunter22\\"\\n"]', "a value for password"),
        ("a.go", 'apiKey := "k3j4h5g6f7"', "a value for apiKey"),
        ("README.md", f"    export WANDB_API_KEY={HEX}", "a value for WANDB_API_KEY"),
    ],
)  # fmt: skip
def test_a_secret_in_a_file(path, line, why):
    assert secret_in(path, f"first line\n{line}\nlast line\n".encode()) == why


@pytest.mark.parametrize(
    ("path", "line"),
    [
        # shapes without a key
        ("a.py", 'PREFIXES = ("ghp_", "hf_", "sk-", "AKIA", "eyJ")'),
        ("a.py", 'TOKEN = "ghp_' + "x" * 36 + '"'),
        ("a.md", "AKIAIOSFODNN7EXAMPLE"),
        ("a.html", '<div class="sk-toggleable__content-arrow-2 sk-estimator-doc-link">'),
        ("a.py", f'if "{PEM}" in text:'),
        ("a.py", f'PEM = "{PEM}\\n...\\n-----END"'),
        ("a.py", 'KEY = "sk-" + "a1B2" * 8'),
        ("a.txt", "f" * 40 + " " + HEX),
        ("a.json", f'{{"sha256": "{HEX}", "integrity": "sha512-{HEX}{HEX}=="}}'),
        # addresses
        ("a.md", "git@github.com:me/x.git and mailto:me@lab.org, https://me@bitbucket.org/x"),
        ("a.md", "mongodb://user:password@host, postgres://postgres:postgres@localhost"),
        ("a.yaml", "url: mongodb://me:${PASSWORD}@h"),
        ("a.py", 'f"mongodb://{user}:{password}@{host}"'),
        ("a.py", '"mongodb://%s:%s@%s" % (a, b, c)'),
        ("a.md", "https://<user>:<password>@host and ftp://a:xxxx@h and x://u:changeme@h"),
        ("a.py", '"http://" + user + ":" + word + "@" + host'),
        ("a.md", "http://localhost:8888/tree@v1 http://h:80/@x"),
        ("a.md", "postgres://scott:tiger22@db.example.com/x"),
        # what configurations of models say
        ("a.yaml", "pad_token: <pad>\ntokenizer_class: PreTrainedTokenizerFast\nmax_tokens: 4096"),
        ("a.json", '{"unk_token": "[UNK]", "bos_token": {"content": "<s>"}, "image_token": "<image>", "boi_token": "[BOI]"}'),
        ("a.yaml", "token_pooling: mean\ntoken_mixer: conv2d\nclassifier: token\nuse_auth_token: true"),
        ("a.json", "{" + ", ".join(f'"w{n}": {n + 5000}' for n in range(2500)) + ', "password": 28712, "secret": 4567}'),
        ("a.json", '{"@octokit/auth-token": "^2.4.0", "js-tokens": "4.0.0"}'),
        ("a.yaml", "secret_santa: 3\nsecret_santa = 3"),
        # references, placeholders, nothing
        ("a.yaml", "password: ${DB_PASSWORD}\npassword: {{ vault_password }}\ntoken: ${{ secrets.GITHUB_TOKEN }}"),
        ("a.yaml", "password: !vault |\n  $ANSIBLE_VAULT\nsecret: *shared\npassword: ENC[AES256_GCM,data:aa1]"),
        ("a.yaml", "password: ${oc.env:PASSWORD,null}\nsecret: ${oc.env:SECRET,changeme}\ntoken: ${TOKEN:-}"),
        ("job.sh", 'TOKEN=${TOKEN:-}\nPASSWORD="${PASSWORD:-changeme}"\nAPI_KEY=${API_KEY:-$OTHER_KEY}\nTOKEN=${TOKEN:-auto}'),
        ("a.yaml", "password:\nsecret: null\ntoken: ~\napi_key: ''\npassword: changeme\nsecret: <your secret>"),
        ("a.yaml", "password: xxx\npassword: '****'\npassword: none\nsecrets: inherit\npermissions: {id-token: write}"),
        ("a.yaml", "password_file: /run/secrets/db\npassword: /run/secrets/db\napi_key: OPENAI_API_KEY\nauth: basic"),
        ("a.yaml", "db: {password: null, user: somebody}"),
        ("a.yaml", "# the token: what the server gave you\n# password: the one of your database"),
        ("a.json", '{"password": {"type": "string"}, "properties": {"token": ["a", "b"]}, "api_key": "your-api-key"}'),
        ("a.toml", 'api_key = "$API_KEY"\ntoken = ""\npassword = "%(password)s"'),
        (".env", "API_KEY=\nTOKEN=$OTHER\nTOKENIZERS_PARALLELISM=false"),
        ("conf.py.cfg", 'PASSWORD = os.environ["X"]'),
        ("job.sh", 'TOKEN=$(cat ~/.token)\nPW="$1"\nPASS=`pass show x`\n[ -n "$TOKEN" ] && run --token "$TOKEN" --password'),
        ("job.sh", "run --auth-type basic --token-file x1y2z3w4 --max-tokens 4096\nread -s PASSWORD"),
        ("Makefile", "token: lexer.c tokens2.h\n\tcc token lexer12.c"),
        # source
        ("a.py", 'PASSWORD = os.environ["X"]\ntoken = get("HF_TOKEN1")\npassword = getpass("Password: ")'),
        ("a.py", 'token = "bfloat16"\nauth = "oauth2"\nif token == "hunter22": pass'),
        ("a.py", 'password = ""\nsecret = None\napi_key = "your_api_key1"\npassword="password"'),
        ("a.py", 'parser.add_argument("--api-key", help="the key123 of it")\nkey = "abc12345"'),
        ("a.py", 'token_pattern=r"(?u)\\b\\w\\w+\\b1"\ntoken_url = "https://h/oauth2/token"'),
        ("a.py", 'secret = f"{prefix}-{number:08d}x1"\ntoken = "%s-0a1" % n\npassword = "<password1>"'),
        ("a.py", 'tokens = ["abc12345"]\nauthor = "me12345678"\nkeys = {"monkey": "abc12345"}'),
        ("a.py", "def f(token, password=None, api_key: str | None = None): ..."),
        ("a.md", "set `API_KEY=<your key>` or `--password=...`; token: see above"),
        ("a.ipynb", '"source": ["password = os.environ[\\"DB_PASSWORD1\\"]\\n"]'),
    ],
)  # fmt: skip
def test_no_secret_in_a_file(path, line):
    assert secret_in(path, f"first line\n{line}\nlast line\n".encode()) is None


DEFAULTS = [
    'p.add_argument("--api-key", default="{}")',
    'p.add_argument("-k", "--api-key", type=str, help="a (long) one, default=none", default="{}")',
    'p.add_argument(\n    "--api-key",\n    # it\'s mine\n    default="{}",\n)',
    '@click.option("--api-key", "-k", default=lambda: os.environ.get("KEY", "{}"))',
    "flags.DEFINE_string('api_key', '{}', 'the key')",
    'flags.DEFINE_string(name="api_key", default="{}", help="x")',
    'os.environ.get("API_KEY", "{}")',
    'key = os.getenv("API_KEY") or "{}"',
    'const key = process.env.API_KEY || "{}"',
    'config.pop("api_key", default="{}")',
    'setattr(args, "api_key", "{}")',
    'api_key: str = field(default="{}")',
    'api_key: str = typer.Option("{}", help="x")',
    'api_key: Annotated[str, typer.Option(help="x")] = "{}"',
    'api_key = SecretStr("{}")',
    'api_key = os.environ.get("KEY", "{}")',
    'def main(api_key="{}", lr=1): ...',
    'api_key: str = "{}"',
]


@pytest.mark.parametrize("line", DEFAULTS)
def test_the_default_of_a_secret_in_source(line):
    said = line.format("Zr8kq2LmPx7V")
    assert secret_in("a.py", said.encode()).startswith("a value for")
    assert text(said) == line.format(GONE)
    cell = json.dumps({"source": said.splitlines(keepends=True)}, indent=1)
    assert secret_in("a.ipynb", cell.encode()).startswith("a value for")
    patch = "\n".join(f"+{one}" for one in said.splitlines())
    assert secret_in("a.py", patch.encode()).startswith("a value for")


@pytest.mark.parametrize(
    "value",
    ["", "changeme", "your-api-key", "your-api-key1", "xxx", "xxxxxxxx12", "<token>", "<token12345>", "${TOKEN}",
     "${TOKEN12345}"],
)
@pytest.mark.parametrize("line", DEFAULTS[:-2])
def test_a_default_that_only_stands_for_a_secret(line, value):
    said = line.format(value)
    assert secret_in("a.py", said.encode()) is None
    assert text(said) == said


@pytest.mark.parametrize(
    "said",
    [
        'p.add_argument("--api-key", default=None); p.add_argument("--model", default="gpt2-xl-1558")',
        'p.add_argument("--api-key", help="abcd12345")\np.add_argument("--name", default="abcd12345")',
        'p.add_argument("--token", "--model-token2", choices=["abcd12345"])',
        'p.add_argument("--api-key", default=os.environ.get("OPENAI_API_KEY1"))',
        'p.add_argument("--model", metavar="TOKEN", default="gpt2-xl-1558")',
        'if key in ("password", "username12"): ...',
        'NAMES = ["api_key", "base_url_2", "timeout_33"]',
        'token = tokenizer.decode("abcd12345")',
        'password = getpass("Password12: ")',
        'token = table["abcd12345"]',
        'def f(password, name="abcd12345"): ...',
        'def f(token: str, name="abcd12345"): ...',
        'os.getenv("DB_PASSWORD") == "abcd12345"',
        'os.getenv("DB_PASSWORD")\nx or "abcd12345"',
        'author = "me" or "abcd12345"',
        'Token("token", type="abcd12345")',
        'rename("s3_session_auth", "s3_disable_session_auth")',
        'known("secret", "Ed25519")',
    ],
)  # fmt: skip
def test_what_is_no_default_of_a_secret(said):
    assert secret_in("a.py", said.encode()) is None
    assert text(said) == said


def test_a_long_line_is_no_comment_because_the_file_begins_with_one():
    assert secret_in("a.yaml", b"# {" + b"b: 1, " * 50 + b"\na: {" + b"b: 1, " * 50 + b"password: correct horse}") is not None


def test_a_default_in_several_literals():
    said = 'p.add_argument("--api-key", default="{}"\n "{}")'
    assert text(said.format("Zr8kq2Lm", "Px7Vb3Nc5")) == said.format(GONE, GONE)


def test_a_default_that_is_a_word_is_taken_out_of_commands_and_messages():
    """Of files only what looks drawn is held back, as where it is assigned."""
    for said in ('p.add_argument("--password", default="{}")', "getenv('DB_PASSWORD', '{}')", "['run', '--password', '{}']"):
        assert text(said.format("correct horse")) == said.format(GONE)
        assert secret_in("a.py", said.format("swordfish").encode()) is None
    said = 'p.add_argument("--auth", default="basic")'
    assert text(said) == said


@pytest.mark.parametrize(
    "part", ['"pw",', 'getenv("pw",', "pw=f(", "pw=#", "pw='", 'pw="""', 'add_argument("--pw", default=', "pw:X["]
)
def test_reading_on_from_many_names_is_bounded(part, monkeypatch):
    """Of a text twice as long twice as much is read: so many tokens at first, and few behind each name after that."""
    read = []
    original = secret_defaults.Source._tokens
    monkeypatch.setattr(
        secret_defaults.Source, "_tokens", lambda self, start: (read.append(1) or one for one in original(self, start))
    )
    many = 40_000 // len(part)
    secret_in("a.py", (part * many).encode())
    assert len(read) <= secret_defaults._TOGETHER + secret_defaults._MOST + many * secret_defaults._FEW


LONG = [
    (f"x = '{GITHUB}'", "a token of GitHub's"), (f'"x\\n{HUGGING}"', "a token of Hugging Face's"),
    ("1,AKIA" + "Q3ZXCVBN4MASDF56", "a token of AWS's"), (f"key: |\n  {PEM}\n  {BASE64}\n", "a private key"),
    (JWT + "eyJzdWIiOiIxMjM0In0." + "dBjftJeZ4CVPmB92K27uhbUJU1p1r0wW1gFWFOEjXk", "a web token"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), LONG)
@pytest.mark.parametrize("place", [0, (1 << 20) - 30, (1 << 20) - 3, 1_500_000, 2_400_000])
@pytest.mark.parametrize("filling", [b"plain words\n", b"\0\xff\1 "])
def test_a_key_in_a_large_file_wherever_it_is(tmp_path, line, why, place, filling):
    before, after = (filling * (1 + length // len(filling)) for length in (place, 2_500_000 - place))
    (tmp_path / "large").write_bytes(before[:place] + b"\n" + line.encode() + b"\n" + after)
    assert secret_in_file(str(tmp_path / "large"), "a.csv") == why


def test_a_large_file_without_a_key(tmp_path):
    lines = f'sk-toggleable__content-arrow-2-and-more,AKIAIOSFODNN7EXAMPLE,"{PEM}"\n'.encode()
    (tmp_path / "large").write_bytes(f"{HEX},".encode() * 20_000 + lines * 20_000)
    assert secret_in_file(str(tmp_path / "large"), "a.csv") is None


def test_a_small_file_is_searched_for_all_kinds_of_secrets(tmp_path):
    (tmp_path / "small").write_bytes(b"password: hunter")
    assert secret_in_file(str(tmp_path / "small"), "a.yaml") == "a value for password"
    with pytest.raises(FileNotFoundError):
        secret_in_file(str(tmp_path / "gone"), "a.yaml")


def test_the_source_of_kleio_holds_no_secret():
    """And so does not come back without the file that knows what secrets look like."""
    root = Path(kleio.__file__).parent
    assert [path for path in root.rglob("*.py") if secret_in(str(path), path.read_bytes())] == []


@pytest.mark.parametrize(
    "text", ["://" * 40_000, "password=" * 12_000, "a" * 120_000, "://a:" * 24_000 + "@", "token: " * 20_000,
             "password" * 12_000, PEM * 4_000, ";pw=" * 24_000, "://" + "a" * 120_000, "password: " + " " * 120_000,
             "eyJ" + ".eyJ" * 24_000,
             "password: '" * 12_000, "${" * 40_000],
)  # fmt: skip
@pytest.mark.parametrize("path", ["a.py", "a.yaml", "a.sh", "a.md"])
def test_a_strange_file_costs_no_more_than_its_length(path, text):
    started = time.thread_time()  # of the processor: others may have it for long
    secret_in(path, text.encode())
    assert time.thread_time() - started < 20


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["env", "PGPASSWORD=x123"], ("env", "PGPASSWORD=<redacted>")),
        (["t.py", "+api_key=XX"], ("t.py", "+api_key=<redacted>")),
        (["t.py", "++trainer.wandb_key=X"], ("t.py", "++trainer.wandb_key=<redacted>")),
        (["t.py", "~db.password=X", "+lr=0.1"], ("t.py", "~db.password=<redacted>", "+lr=0.1")),
        (["t.py", "+tokenizer=gpt2", "sort_key=name"], ("t.py", "+tokenizer=gpt2", "sort_key=name")),
    ],
)
def test_names_as_hydra_and_databases_have_them(words, kept):
    assert command(words) == kept
