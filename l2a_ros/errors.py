# SPDX-License-Identifier: Apache-2.0
"""The one exception that means "the user can repair this"."""


class UserError(ValueError):
    """Bad input: its text is one line that says what is wrong and what to do.

    Commands and nodes print the text without a traceback and end with a non-zero status. What the user wrote may be
    part of the text, so line breaks in it become spaces.
    """

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


def unknown_name(kind: str, name: str, known: list[str]) -> UserError:
    """Return the error for a name that is not registered, listing the ones that are."""
    return UserError(f"unknown {kind} '{name}'; known: {', '.join(sorted(known))}")
