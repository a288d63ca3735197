"""Warnings on the command line are lines for users; names with colons are printed as they are."""

import warnings

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.errors.warning_lines import printing_warnings


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_warning_of_systolith_is_one_line_without_a_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual: list[str] = []
    monkeypatch.setattr("warnings.showwarning", lambda message, *_: usual.append(str(message)))
    with printing_warnings():
        for line in (1, 2):  # the same text from two places
            warnings.warn_explicit("too short", UserWarning, "/lib/systolith/fit.py", line)
        warnings.warn_explicit("a fault", UserWarning, "/lib/torch/nn.py", 3)
    assert capsys.readouterr().err == "warning: too short\n"
    assert usual == ["a fault"]


def test_names_with_colons_are_no_emoji() -> None:
    result = CliRunner().invoke(app, ["check", "my_model:five"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: my_model:five: a model needs --input-shape")
