"""The error of the compiler: one line that says where, what, and what to do about it."""


class CompileError(ValueError):
    """A network or a picture that OpenHop cannot take.

    Parameters
    ----------
    where : str
        The node, layer or file.
    what : str
        What is wrong with it.
    hint : str, optional
        What to change.

    The message is one line, `where: what; hint`, whatever line breaks the parts had.
    """

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where, self.what, self.hint = (
            " ".join(str(part).split()) for part in (where, what, hint)
        )
        super().__init__(f"{self.where}: {self.reason}")

    @property
    def reason(self) -> str:
        """The message without the place: what is wrong and what to change."""
        return f"{self.what}; {self.hint}" if self.hint else self.what
