"""Settings: whose word counts, what they may be, and what is said of those that are none."""

import os

import pytest

from hotswap import machine
from hotswap.config import AreaSpec, Settings, parse_area, resolve
from hotswap.errors import ConfigError, SizeError
from hotswap.sizes import parse_size

GIB = 1 << 30


@pytest.fixture
def place(tmp_path):
    """``place(text, name)`` writes a file of settings and gives its directory."""

    def write(text, name="hotswap.toml", under=""):
        (tmp_path / under).mkdir(parents=True, exist_ok=True)
        (tmp_path / under / name).write_text(text)
        return tmp_path / under

    return write


def refused(*arguments, **keywords):
    with pytest.raises(ConfigError) as raised:
        resolve(*arguments, **{"environ": {}, **keywords})
    sentence = str(raised.value)
    assert sentence.endswith((".", "?")) and "\n" not in sentence
    return sentence


# --- whose word counts -----------------------------------------------------------------------------------------------


def test_options_come_before_the_environment_and_that_before_the_file(place):
    directory = place('[tool.hotswap]\nlimit = "1M"\nmin_size = "1M"\nswap = "a.swap:1M"\n')
    environ = {"HOTSWAP_LIMIT": "2M", "HOTSWAP_MIN_SIZE": "2M", "HOME": "/"}
    settings = resolve({"limit": "3M", "min_size": None, "swap": ()}, environ=environ, directory=directory)
    assert (settings.limit, settings.min_size) == (3 << 20, 2 << 20)
    assert settings.swap == (AreaSpec(str(directory / "a.swap"), 1 << 20),)  # the list of areas goes as a whole
    file = directory / "hotswap.toml"
    expected = {"limit": "--limit", "min_size": "HOTSWAP_MIN_SIZE", "swap": f"{file}, swap"}
    assert settings.origins == expected


def test_without_any_word_the_defaults_hold(tmp_path):
    assert resolve(environ={"HOTSWAP_LIMIT": ""}, directory=tmp_path) == Settings()


def test_the_nearest_file_with_our_table_is_found(place):
    place('[tool.hotswap]\nlimit = "1M"\n')
    below = place("[tool.other]\nlimit = 5\n", "pyproject.toml", "a/b")
    assert resolve(environ={}, directory=below).limit == 1 << 20
    place('[tool.hotswap]\nlimit = "2M"\n', "pyproject.toml", "a")
    assert resolve(environ={}, directory=below).limit == 2 << 20


def test_a_file_that_is_named_is_the_only_one_that_is_read(place):
    directory = place('[tool.hotswap]\nlimit = "1M"\nmin_size = "64K"\n')
    named = place('[tool.hotswap]\nlimit = "7M"\n', "mine.toml", "elsewhere") / "mine.toml"
    for words in ({"config": named, "environ": {"HOTSWAP_CONFIG": "/nowhere"}}, {"environ": {"HOTSWAP_CONFIG": str(named)}}):
        settings = resolve(**words, directory=directory)
        assert (settings.limit, settings.min_size) == (7 << 20, Settings().min_size)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_passed_over_unless_it_is_named(place):
    directory = place('[tool.hotswap]\nlimit = "1M"\n')
    os.chown(directory / "hotswap.toml", 65534, 65534)
    assert resolve(environ={}, directory=directory).limit is None
    assert resolve(environ={}, directory=directory, config="hotswap.toml").limit == 1 << 20


# --- values ----------------------------------------------------------------------------------------------------------


def test_an_area_is_a_file_with_a_size_and_a_priority():
    assert parse_area("scratch/a.swap") == AreaSpec("scratch/a.swap", None, 0)
    assert parse_area("scratch/a.swap:8G") == AreaSpec("scratch/a.swap", 8 * GIB, 0)
    assert parse_area("a.swap:1.5GiB,pri=10") == AreaSpec("a.swap", 3 * GIB // 2, 10)
    assert parse_area("a.swap,pri=-1") == AreaSpec("a.swap", None, -1)
    assert parse_area("a,b.swap") == AreaSpec("a,b.swap", None, 0)
    assert parse_area("a:b:4096") == AreaSpec("a:b", 4096, 0)
    assert parse_area("a:b") == AreaSpec("a:b", None, 0)
    assert parse_area("a:b/c.swap") == AreaSpec("a:b/c.swap", None, 0)
    assert parse_area("ram:2G,pri=5") == AreaSpec("ram:", 2 * GIB, 5)
    assert parse_area("a.swap:8G,compressed=512M") == AreaSpec("a.swap", 8 * GIB, 0, GIB // 2)
    assert (
        parse_area("a.swap,compressed=512M,pri=3")
        == parse_area("a.swap,pri=3,compressed=512M")
        == AreaSpec("a.swap", None, 3, GIB // 2)
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "names no file"),
        (":8G", "names no file"),
        ("a.swap:", "ends where its size should stand"),
        ("a.swap:8X", "size '8X' is not a size"),
        ("a.swap:0", "not above zero"),
        ("a.swap,pri=", "priority '' is not a whole number from -1 to 32767"),
        ("a.swap,pri=40000", "priority '40000'"),
        ("a.swap,prio=4", "unknown option 'prio'"),
        ("a.swap,compressed=", "compressed '' is not a size"),
        ("a.swap,compressed=lots", "compressed 'lots' is not a size"),
    ],
)
def test_what_is_no_area_is_refused(text, said):
    with pytest.raises((ConfigError, SizeError)) as raised:
        parse_area(text)
    assert said in str(raised.value)


def test_several_areas_in_the_environment_are_words_of_a_shell(tmp_path):
    environ = {"HOTSWAP_SWAP": "a.swap:1G,pri=2 'with space.swap'"}
    assert resolve(environ=environ, directory=tmp_path).swap == (AreaSpec("a.swap", GIB, 2), AreaSpec("with space.swap"))


def test_a_percentage_is_of_what_the_control_group_or_the_machine_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "memory_limits", lambda **_: iter([1 << 62, 4 * GIB]))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 16 * GIB // 4096, "SC_PAGE_SIZE": 4096}.__getitem__)
    settings = resolve({"limit": "25%", "swap": ("a:150%",)}, environ={}, directory=tmp_path)
    assert (settings.limit, settings.swap[0].size) == (GIB, 6 * GIB)
    monkeypatch.setattr(machine, "memory_limits", lambda **_: iter(()))
    assert resolve({"limit": "12.5 %"}, environ={}, directory=tmp_path).limit == 2 * GIB


def test_where_there_is_no_whole_there_are_no_percentages():
    with pytest.raises(SizeError, match="an optional unit K, M, G or T, such as"):
        parse_size("5%")


def test_memory_is_what_the_kernel_says_at_most():
    with open("/proc/meminfo") as lines:
        total = int(next(line for line in lines if line.startswith("MemTotal")).split()[1]) << 10
    assert 0 < machine.memory() <= total


# --- what is refused, and where it is said to stand ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("limt = 5\n", "'limt' in [tool.hotswap] of {file} is unknown; the settings are limit, swap"),
        ('limit = "5X"\n', "{file}, limit: limit '5X' is not a size"),
        ("limit = true\n", "{file}, limit: limit True is not a size"),
        ("swap = 5\n", "{file}, swap: swap 5 is neither text nor a list of texts"),
        ('swap = ["a:1G", 5]\n', "{file}, swap: swap ['a:1G', 5] is neither"),
        ('min_size = "1K"\n', "{file}, min_size: min_size '1K' is below 16.0 KiB"),
        ("limit = \n", "{file} is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_by_name(place, text, said):
    directory = place("[tool.hotswap]\n" + text)
    assert said.format(file=directory / "hotswap.toml") in refused(directory=directory)


def test_a_file_without_our_table_is_refused_where_it_must_have_one(place):
    directory = place("limit = 5\n")
    assert "has no table [tool.hotswap]" in refused(directory=directory)
    place("limit = 5\n", "other.toml")
    assert "--config other.toml has no table [tool.hotswap]" in refused(directory=directory, config="other.toml")
    assert "HOTSWAP_CONFIG none.toml cannot be read: No such file" in refused(
        directory=directory, environ={"HOTSWAP_CONFIG": "none.toml"}
    )
    place("[tool]\nhotswap = 5\n", "odd.toml")
    assert "is not a table" in refused(directory=directory, config="odd.toml")


def test_bad_options_and_variables_are_refused_by_name(tmp_path):
    assert refused({"limit": "-1"}, directory=tmp_path).startswith("--limit: limit '-1' is not a size")
    assert refused({"min_size": "x"}, directory=tmp_path).startswith("--min-size: ")
    assert "options of this command is unknown" in refused({"limits": "1"}, directory=tmp_path)
    assert refused(directory=tmp_path, environ={"HOTSWAP_LIMIT": "much"}).startswith("HOTSWAP_LIMIT: limit 'much'")
    assert "unbalanced quotes" in refused(directory=tmp_path, environ={"HOTSWAP_SWAP": "'a"})
    assert "did you mean HOTSWAP_MIN_SIZE?" in refused(directory=tmp_path, environ={"HOTSWAP_MINSIZE": "1M"})
    assert resolve(environ={"HOTSWAP_TEST_DIR": "x", "HOTSWAP_SOMETHING": "y"}, directory=tmp_path) == Settings()
