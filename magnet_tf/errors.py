"""What a user did wrong, as opposed to a bug of ours."""


class UserError(Exception):
    """Something that a user gave or asked for cannot be used.

    Its message is for them: it names the thing, what was expected and what to do. The
    commands print it alone; whatever else goes wrong keeps its traceback.
    """


class InputError(UserError, ValueError):
    """An argument has a value that cannot be used."""


class InputTypeError(InputError, TypeError):
    """An argument is of a type that cannot be used."""


def first_line(error: Exception) -> str:
    """What an error says first, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
