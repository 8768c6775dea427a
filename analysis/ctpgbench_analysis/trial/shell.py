"""shell.py -- completions for bash and zsh and a man page, from what the program says of itself: nothing is listed here

    ctpgbench analysis shell bash > /etc/bash_completion.d/ctpgbench     zsh, in ~/.zshrc: source <(... shell zsh)
    ctpgbench analysis shell man > ctpgbench.1
"""
from __future__ import annotations

import re
import subprocess

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.trial import program

KINDS = ("bash", "zsh", "man")
COMMAND = re.compile(r"^  ([a-z][a-z-]*) +(?:(FILES?|NAME|WORDS) +)?(\S.*)$", re.MULTILINE)
OPTION = re.compile(r"^ +(--?[a-zA-Z][\w-]*)", re.MULTILINE)


def said(*words: str, may_fail: bool = False) -> str:
    """What the program prints; may_fail: a command that asks for an option before it helps has none to complete."""
    ended = subprocess.run(program.command(list(words)), capture_output=True, text=True, check=False)
    if ended.returncode and not may_fail:
        raise ResultsError(f"ctpgbench {' '.join(words)} failed: {' '.join(ended.stderr.split())}")
    return ended.stdout


def commands() -> dict[str, tuple[str, str]]:
    """{command: (what it takes, what it does)} of the usage."""
    return {name: (word, text) for name, word, text in COMMAND.findall(said("-help"))}


def options(command: str) -> list[str]:
    """Options that the help of a command lists."""
    return list(dict.fromkeys(OPTION.findall(said(command, "-help", may_fail=True))))


def bash() -> str:
    """A completion for bash."""
    cases = "\n".join(f"    {name}) words='{' '.join(options(name))}' ;;" for name in commands() if name != "analysis")
    return f"""# completion of ctpgbench, made by `ctpgbench analysis shell bash`
_ctpgbench() {{
  local words=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{" ".join(commands())} help'
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  case "${{COMP_WORDS[COMP_CWORD]}}" in
    -*) ;;
    *) [ "$COMP_CWORD" -gt 1 ] && words='' ;;
  esac
  [ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o default -F _ctpgbench ctpgbench
"""


def zsh() -> str:
    """A completion for zsh, by its reader of bash completions."""
    return "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + bash()


def roff(text: str) -> str:
    """Text of a man page."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def man() -> str:
    """The man page."""
    lines = [".TH CTPGBENCH 1", ".SH NAME", "ctpgbench \\- gradient estimators for continuous\\-time control, compared",
             ".SH SYNOPSIS", ".B ctpgbench", ".I command", "[options]", ".SH COMMANDS"]
    for name, (word, text) in commands().items():
        lines += [".TP", f".B {roff(name)} {word}", roff(text)]
    lines += [".SH OPTIONS", roff("ctpgbench help <command> lists those of a command; with -problems and -estimators "
                                  "also theirs."), ".SH SEE ALSO", "The pages in docs/, README.md first."]
    return "\n".join(lines) + "\n"


def make(kind: str) -> str:
    """The text of one of KINDS."""
    return {"bash": bash, "zsh": zsh, "man": man}[kind]()
