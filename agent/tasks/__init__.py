"""Tasks that a tool or hook awaits from the caller, with a typed result. Manual: docs/agents.md."""

from agent.tasks.collect_digits import CollectDigits
from agent.tasks.confirm import Confirm
from agent.tasks.menu import Menu
from agent.tasks.task import Task, TaskAbandoned, TaskTimedOut

__all__ = ["CollectDigits", "Confirm", "Menu", "Task", "TaskAbandoned", "TaskTimedOut"]
