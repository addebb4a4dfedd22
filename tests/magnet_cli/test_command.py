"""The wrapper of all commands."""

import os
import shlex
import subprocess
import sys

import pytest
from absl import flags

import magnet_cli
from magnet_cli import __main__ as magnet
from magnet_cli.usage import usage
from magnet_tf.errors import UserError


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("name", None, "Who: its name.", flag_values=values)
    flags.DEFINE_list("kinds", "a,b", "Who: kinds.", flag_values=values)
    flags.DEFINE_enum("size", "small", ["small", "large"], "Size.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0, flag_values=values)


def command(do=lambda args: None, doing=None) -> magnet_cli.Command:
    return magnet_cli.Command("some.module", "Does it.", define, do, doing)


def test_flags_are_parsed():
    args = magnet_cli.parsed(command(), ["--name=me", "--kinds=x,y", "--seed=3"])
    assert (args.name, args.kinds, args.seed, args.size) == (
        "me",
        ["x", "y"],
        3,
        "small",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--kinds", "a", "b"],
            "'b' belongs to no flag; a list is written with commas",
        ),
        (["--name="], "--name has an empty value"),
        (["--name= "], "--name has an empty value"),
        (["--kinds=a,,b"], "--kinds has an empty value"),
        (["--kinds=a,"], "--kinds has an empty value"),
        (["--size=huge"], "value should be one of <small|large>"),
        (["--seed=-1"], "flag --seed=-1"),
        (["--seed=x"], "flag --seed=x"),
        (["--nothing=1"], "Unknown command line flag 'nothing'"),
    ],
)
def test_a_bad_command_line_is_one_sentence(arguments, message):
    with pytest.raises(SystemExit) as raised:
        magnet_cli.parsed(command(), arguments)
    text = str(raised.value)
    assert text.startswith("some.module: ") and message in text and "\n" not in text


@pytest.mark.parametrize("error", [UserError("that is wrong."), OSError("disk")])
def test_what_a_user_did_wrong_is_one_sentence(error):
    def do(args):
        raise error

    with pytest.raises(SystemExit) as raised:
        magnet_cli.main(command(do), [])
    assert str(raised.value) == f"some.module: {error}"


def test_a_bug_keeps_its_traceback():
    def do(args):
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        magnet_cli.main(command(do), [])


def test_an_interruption_is_one_sentence():
    def do(args):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="interrupted; the same command goes on"):
        magnet_cli.main(command(do), [])


def test_it_says_what_it_does_and_how_it_was_called(capsys):
    said = []
    one = command(
        lambda args: said.append(magnet_cli.command_line()), lambda args: args.name
    )
    magnet_cli.main(one, ["--name=me"])
    assert capsys.readouterr().out == "me\n"
    assert said == ["python -m some.module --name=me"]


def test_what_was_called_can_be_typed_again(capsys):
    said = []
    one = command(lambda args: said.append(magnet_cli.command_line()))
    arguments = ["--kinds=cw,foolbox:DDNAttack(steps=[5,10])", "--name=it's"]
    magnet_cli.main(one, arguments)
    assert shlex.split(said[0])[3:] == arguments


@pytest.mark.parametrize("flag", ["-h", "--help", "--helpfull"])
def test_help_lists_our_flags_alone(flag, capsys):
    magnet_cli.main(command(), [flag])
    text = capsys.readouterr().out
    assert text == usage("some.module", "Does it.", define) + "\n"
    groups = text.split("\n\n")
    assert groups[2].startswith("Who:\n  --name=TEXT\n      its name.")
    assert "--kinds=LIST\n      kinds. [a,b]" in groups[2]
    assert "--size=small|large" in groups[3] and "--seed=N" in groups[3]
    assert "logtostderr" not in text and "only_check_args" not in text


def test_help_ends_where_its_reader_does():
    read, write = os.pipe()
    os.close(read)
    command_line = [sys.executable, "-m", "magnet_cli", "oblivious", "--help"]
    done = subprocess.run(
        command_line, check=False, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_magnet_runs_the_commands_by_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["magnet", "oblivious", "--help"])
    magnet.main()
    assert capsys.readouterr().out.startswith("python -m eval.oblivious [flags]")
    monkeypatch.setattr(sys, "argv", ["magnet"])
    magnet.main()
    assert "train-autoencoder" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["magnet", "fly"])
    with pytest.raises(SystemExit, match="there is no command 'fly'"):
        magnet.main()


@pytest.mark.parametrize("name", sorted(magnet.COMMANDS.values()))
def test_help_needs_nothing_heavy(name):
    code = f"""
import sys, importlib, magnet_cli
magnet_cli.main(importlib.import_module({name!r}).COMMAND, ["--help"])
assert not {{"tensorflow", "keras", "numpy"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_tensorflows_notes_do_not_reach_the_terminal():
    code = """
import magnet_cli, sys
def do(args):
    import absl.logging, tensorflow
    absl.logging.warning("of a library")
    print(tensorflow.constant(1.0).numpy())
    print("ours", file=sys.stderr)
magnet_cli.main(magnet_cli.Command("m", "s", lambda v: None, do), [])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("1.0\n", "ours\n")


def test_a_terminal_of_another_encoding_gets_what_it_can_show():
    code = """
import magnet_cli
one = magnet_cli.Command("m", "s", lambda v: None, lambda a: print("\\u03ba = 10"))
magnet_cli.main(one, [])
"""
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        check=True,
        capture_output=True,
        env={"LC_ALL": "C", "PYTHONIOENCODING": "cp1252"},
    )
    assert done.stdout.strip() == b"? = 10"
