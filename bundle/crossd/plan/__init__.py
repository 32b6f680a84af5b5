"""What to train on data that nothing is known of yet: the cases are looked at, and settings proposed with reasons."""

from crossd.plan.case_facts import CaseFacts, copies, look, troubles
from crossd.plan.proposal import Setting, misfits, propose
from crossd.plan.running import plan_text, read_plan, run_plan

__all__ = [
    "CaseFacts",
    "Setting",
    "copies",
    "look",
    "misfits",
    "plan_text",
    "propose",
    "read_plan",
    "run_plan",
    "troubles",
]
