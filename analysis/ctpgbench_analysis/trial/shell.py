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
PACKAGE_COMMAND = re.compile(r"^    ([a-z]+)(?=\s)", re.MULTILINE)
HEAD = re.compile(r"^  (-[^<\s]\S*(?: \S+)*)", re.MULTILINE)  # what stands before two blanks, or <: one or two options
OPTION = re.compile(r"(?:^|, )(--?[a-zA-Z][\w-]*)")
EVERYWHERE = re.compile(r"(?<![\w-])-[a-z]+_[a-z]+")


def said(*words: str, may_fail: bool = False) -> str:
    """What the program prints; may_fail: a command that asks for an option before it helps has none to complete."""
    ended = subprocess.run(program.command(list(words)), capture_output=True, text=True, check=False)
    if ended.returncode and not may_fail:
        raise ResultsError(f"ctpgbench {' '.join(words)} failed: {' '.join(ended.stderr.split())}")
    return ended.stdout


def commands() -> dict[str, tuple[str, str]]:
    """{command: (what it takes, what it does)} of the usage."""
    return {name: (word, text) for name, word, text in COMMAND.findall(said("-help"))}


def options(*command: str) -> list[str]:
    """Options that the help of a command lists; for commands of the program itself also those for plans and
    plug-ins."""
    text = said(*command, "-help", may_fail=True)
    own = [name for head in HEAD.findall(text) for name in OPTION.findall(head)]
    of_all = [] if "--help" in own else EVERYWHERE.findall(said("-help"))
    return list(dict.fromkeys([*own, *of_all]))


def package_commands() -> list[str]:
    """Commands behind `ctpgbench analysis`."""
    return PACKAGE_COMMAND.findall(said("analysis", "--help"))


def bash() -> str:
    """A completion for bash."""
    every = [(name,) for name in commands() if name != "analysis"]
    every += [("analysis", name) for name in package_commands()]
    cases = "\n".join(f"    '{' '.join(command)}') words='{' '.join(options(*command))}' ;;" for command in every)
    return f"""# completion of ctpgbench, made by `ctpgbench analysis shell bash`
_ctpgbench() {{
  local words='' command="${{COMP_WORDS[1]}}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ] || [ "$COMP_CWORD$command" = 2help ]; then
    words='{" ".join(commands())} help'
  elif [ "$COMP_CWORD$command" = 2analysis ]; then
    words='{" ".join(package_commands())}'
  elif [[ "${{COMP_WORDS[COMP_CWORD]}}" == -* ]]; then
    [ "$command" = analysis ] && command="analysis ${{COMP_WORDS[2]}}"
    case "$command" in
{cases}
    esac
  fi
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
