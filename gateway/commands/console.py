"""`trunkline console`: talk to a persona in the terminal, as text."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.events import SessionEvent
    from agent.factory import PersonaMaker
    from agent.providers.base import LLM
    from agent.testing.text_call import TextCall

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "console",
        help="talk to a persona in the terminal, as text",
        description="Talk to a persona in the terminal: enter a line, see its answer and the tools it calls. "
        "An empty line or Ctrl-D ends. Exit code 2: no such persona.",
    )
    parser.add_argument("persona", metavar="PERSONA", help="path/to/file.py:Class, or path/to/file.py:factory")
    parser.add_argument(
        "--model", metavar="NAME", help="a model of an OpenAI-compatible server instead of the persona's rules"
    )
    parser.add_argument(
        "--base-url", default="http://127.0.0.1:11434/v1", metavar="URL", help="with --model: the server"
    )
    parser.add_argument("--key-file", metavar="FILE", help="with --model: file with the server's API key")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agent.factory import BadFactory, FactoryFailed
    from agent.testing.personas import PersonaNotFound, load_persona

    try:
        persona = load_persona(args.persona)
        llm = _llm(args)
    except (PersonaNotFound, OSError) as error:
        print(f"trunkline console: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - the persona's file is the user's code
        print(f"trunkline console: {_not_imported(args.persona, error)}", file=sys.stderr)
        return 2
    if isinstance(persona, type):
        try:
            persona()
        except Exception as error:  # noqa: BLE001 - as above
            what = f"creating {args.persona} failed: {type(error).__name__}: {error}"
            print(f"trunkline console: {what}; if it needs arguments, use a factory", file=sys.stderr)
            return 2
    try:
        return asyncio.run(_talk(persona, llm))
    except (BadFactory, FactoryFailed) as error:
        print(f"trunkline console: {error}", file=sys.stderr)
        return 2


def _not_imported(reference: str, error: Exception) -> str:
    """Where the persona's file broke, and what to do."""
    from pathlib import Path

    file = Path(reference.rpartition(":")[0])
    line, trace = 0, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == file.name:
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        line = error.lineno or line
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"; is {error.name} installed in {sys.prefix}?"
        if (file.parent / f"{error.name}.py").is_file():
            hint = f'; import files in the same folder with a dot: "from .{error.name} import …"'
    place = f"{file}:{line}" if line else str(file)
    return f"{place}: import failed: {type(error).__name__}: {error}{hint}"


def _llm(args: argparse.Namespace) -> LLM:
    if not args.model:
        from agent.providers.rules import RulesLLM

        return RulesLLM()
    from pathlib import Path

    from agent.providers.openai_chat import OpenAIChat, OpenAISettings

    key = Path(args.key_file).read_text(encoding="utf-8").strip() if args.key_file else ""
    return OpenAIChat(OpenAISettings(model=args.model, base_url=args.base_url, api_key=key))


async def _talk(persona: PersonaMaker, llm: LLM) -> int:
    from agent.testing.text_call import TextCall

    call = TextCall(persona, llm)
    _show_as_it_goes(call)
    await call.start()
    if llm.name == "rules" and call.agent.rules is None:
        print(
            f"{call.agent.name} has no rules and there is no model: it greets but understands nothing. "
            "Use --model NAME with an OpenAI-compatible server at --base-url.",
            file=sys.stderr,
        )
    try:
        while (line := await asyncio.to_thread(_read_line)).strip():
            turn = await call.run(user_input=line.strip())
            if turn.closed is not None:
                break
    finally:
        await call.aclose()
    return 0


def _read_line() -> str:
    """A line of input; empty at its end."""
    if sys.stdin.isatty():
        print("you: ", end="", flush=True)
    line = sys.stdin.readline()
    if line and not sys.stdin.isatty():
        print(f"you: {line.rstrip()}", flush=True)
    return line


def _show_as_it_goes(call: TextCall) -> None:
    from gateway.terminal import Terminal, describe

    terminal = Terminal()

    def show(event: SessionEvent) -> None:
        if event.type == "user_message":  # it is on screen already
            return
        found = describe(event.to_dict())
        if found is not None:
            terminal.line(found[1], found[0])

    call.session.subscribe(show)
