"""The command line: ``glossa``, or ``python -m stages``. A command is imported when it is run, not before."""

from __future__ import annotations

import errno
import gc
import sys
from importlib import import_module

import click

from stages import __version__
from stages.errors import GlossaError, nearest
from stages.machine.threads import wait_asleep

STAGES = {
    "code": "Take the fingerprint of every stage.",
    "tokenize": "Turn the corpus into rows of tokens.",
    "cache": "Store where and how strongly a coder's latents fire.",
    "sample": "Choose latents and the windows to explain and test them with.",
    "explain": "Explain a coder's latents with one explainer.",
    "score": "Score an explainer's explanations with one scorer.",
    "compare": "Compare the coders by the meaning of their latents.",
    "report": "Gather metrics, plots and pages.",
}
COMMANDS = {
    "wire": "Write the parts of dvc.yaml that follow from params.yaml.",
    "preset": "Take params.yaml from a preset for published sparse coders.",
    "coder": "Check whether a coder is read as its authors meant.",
    "scores": "Show the scores of all coders, with intervals and floors.",
    "show": "Show a latent: its explanations, scores and examples.",
    "serve": "Serve the report, with a live test of any text.",
    "similar": "Show a latent's nearest relatives in all coders.",
    "search": "Find latents by what their explanations mean.",
    "rate": "Explain latents, or rate explanations, by hand.",
    "ratings": "Say what ratings of explanations come to.",
    "trace": "Show where an explanation and its scores come from, hash by hash.",
    "audit": "Check that everything is what it says it is.",
    "export": "Write results in a format that others read.",
    "publish": "Upload the data set to the Hugging Face Hub.",
    "estimate": "Count what dvc repro would ask of language models, and what it costs.",
    "batch": "Have language models answer from files instead of a server.",
    "probe": "Find out what the server of a language model really does.",
    "journal": "Show what the answers of language models come to; bring in others.",
}

WORDS = "glossa.words"
"""Where the context of a command keeps the words of a stage."""

COLLECT = (50_000, 20, 20)
"""How rarely Python looks for garbage: a fifth of the import of torch and transformers would go into looking."""


IN_THE_WAY = (
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EFBIG,
    errno.EIO,
    errno.ELOOP,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ESTALE,
)
"""What is no defect of ours: a folder where a file should be, or the other way round, rights, broken and read-only disks."""


class LazyGroup(click.Group):
    """Knows its commands by name, and prints a user's mistake as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The stages in the order they run, then the commands for people."""
        return [*STAGES, *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command, or returns None if there is none of that name."""
        if cmd_name in STAGES:
            return import_module(f"stages.{cmd_name}").command
        if cmd_name in COMMANDS:
            return import_module(f"stages.commands.{cmd_name}").command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest known name when there is no such command."""
        if args and args[0] not in (*STAGES, *COMMANDS) and not args[0].startswith("-"):
            raise click.UsageError(f"no such command '{args[0]}'; {nearest(args[0], (*STAGES, *COMMANDS))}", ctx)
        if args and not args[0].startswith("-") and not {"-h", "--help"} & set(args):
            _begin(ctx, args)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists stages and commands apart, without importing any."""
        for title, commands in (("Stages (run by dvc repro)", STAGES), ("For people", COMMANDS)):
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Turns a GlossaError, or what a disk has in the way, into a message without a traceback and exit code 1."""
        gc.set_threshold(*COLLECT)
        wait_asleep()
        try:
            result = super().invoke(ctx)
            if WORDS in ctx.meta:
                _end(ctx.meta[WORDS])
            return result
        except GlossaError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(_of_disk(error)) from error


def _of_disk(error: OSError) -> str:
    """A sentence about what the disk or its user has in the way; an ``OSError`` of another sort is a defect of ours."""
    what = f" for {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk has no room left{what}; make room and run it again"
    if error.errno not in IN_THE_WAY or not error.filename:
        raise error
    return (
        f"expected {error.filename} to be a file or folder that can be read and written as ours are, but the system says: {error.strerror}; "
        "put right what is there, and run it again"
    )


def _begin(ctx: click.Context, words: list[str]) -> None:
    """What comes before a command, that the code of this project runs, and before a stage: its lock file is copied."""
    from stages.wiring import running

    running.check()
    if words[0] in COMMANDS:
        return
    from stages.wiring import copies

    copies.keep()
    ctx.meta[WORDS] = words
    if words[0] in ("cache", "sample", "explain", "score", "report"):  # others need pandas for what they compute with
        from stages.machine.imports import spare_pandas

        spare_pandas()
    if words[0] in ("tokenize", "cache"):
        _check_units()
    elif words[0] in ("explain", "score", "compare", "report"):
        from stages import params
        from stages.wiring import implied

        implied.fetch(params.load(), words)


def _end(words: list[str]) -> None:
    """What comes after a stage that has ended well: a note of what it was made with."""
    if words[0] == "code":
        return
    from stages import params
    from stages.wiring import made

    made.record(params.load(), words)


def _check_units() -> None:
    """What is wrong with an explainer, a scorer or their model's endpoint is said by the first stages, not after hours by its own."""
    from stages import explainers, llm, params, scorers

    p = params.load()
    for room, section, entries in ((explainers, "explainers", p.explainers), (scorers, "scorers", p.scorers)):
        for name, entry in entries.items():
            room.load(name, entry)
            for key, model in entry.items():
                if isinstance(model, dict) and "provider" in model:
                    asked = llm.load(f"{section}.{name}.{key}", model)
                    if hasattr(asked, "check"):
                        asked.check()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="glossa")
def main() -> None:
    """Explain the latents of sparse coders in natural language, and score the explanations."""


if __name__ == "__main__":
    sys.exit(main())
