"""The command line itself: help, options, exit codes, and errors as one line."""

from typing import Annotated

import pytest
import typer

from openhop.cli import TakesImages, app

VERBS = ("run", "check", "cycles", "vectors", "verilog", "synth", "logic")


def test_bare_openhop_prints_help(openhop):
    result = openhop()
    assert result.exit_code == 0
    assert result.stderr == ""
    assert all(verb in result.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(openhop, verb):
    result = openhop(verb, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("chek",), "No such command 'chek'. Did you mean 'check'?"),
        (("--colour",), "No such option: --colour"),
        (("run", "--colour"), "No such option: --colour"),
        (("check",), "Missing argument 'MODEL'."),
        (("run", "--engine", "quartz"), "'quartz' is not one of"),
        (("run", "--images"), "requires an argument"),
        (("synth", "--seeds", "0"), "Invalid value for '--seeds'"),
    ],
)
def test_wrong_arguments(refusal, args, reason):
    assert reason in refusal(*args)


@pytest.fixture
def failing(monkeypatch):
    """Make `openhop check` raise an error."""

    def install(error: BaseException) -> None:
        def fail(**_: object) -> int:
            raise error

        monkeypatch.setattr("openhop.verbs.check.main", fail)

    return install


def test_a_fault_of_openhop_is_one_line_too(failing, refusal):
    failing(KeyError("lanes\nand more"))
    line = refusal("check", "fashion")
    assert line.startswith("internal error, please report it: KeyError: ")
    assert line.endswith("(OPENHOP_TRACEBACK=1 shows where)")


def test_a_traceback_can_be_asked_for(failing, openhop, monkeypatch):
    monkeypatch.setenv("OPENHOP_TRACEBACK", "1")
    failing(KeyError("lanes"))
    result = openhop("check", "fashion")
    assert isinstance(result.exception, KeyError)


def test_an_interrupt_is_silent(failing, openhop):
    failing(KeyboardInterrupt())
    result = openhop("check", "fashion")
    assert result.exit_code == 130
    assert result.stderr == ""


@pytest.mark.parametrize("code", [0, 1])
def test_the_verb_gives_the_exit_code(openhop, monkeypatch, code):
    monkeypatch.setattr("openhop.verbs.check.main", lambda **_: code)
    assert openhop("check", "fashion").exit_code == code


@pytest.mark.parametrize(
    ("args", "images", "rest"),
    [
        (["--images", "a", "b", "c"], ["a", "b", "c"], None),
        (["--images", "a", "--images", "b"], ["a", "b"], None),
        (["model", "--images", "a", "b", "--word", "w"], ["a", "b"], "model"),
        (["--images", "a", "b", "--word", "w", "model"], ["a", "b"], "model"),
        (["--images=a", "model"], ["a"], "model"),
        (["model"], [], "model"),
    ],
)
def test_images_takes_all_arguments_up_to_the_next_option(args, images, rest):
    seen = {}
    small = typer.Typer(add_completion=False)

    @small.command(cls=TakesImages)
    def verb(
        model: Annotated[str | None, typer.Argument()] = None,
        images: Annotated[list[str] | None, typer.Option("--images")] = None,
        word: str = "",
    ) -> None:
        seen.update(model=model, images=images or [], word=word)

    small(args, standalone_mode=False)
    assert (seen["images"], seen["model"]) == (images, rest)


def test_the_program_is_the_app():
    assert app.info.name == "openhop"
