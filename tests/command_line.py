"""A command line from keywords."""


def of(**args) -> list[str]:
    """The flags, lists joined by commas; those that are None are left out."""
    return [
        f"--{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in args.items()
        if value is not None
    ]
