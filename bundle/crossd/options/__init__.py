"""The options of each config: declared once, with type, default and description.

From the lists come how a value is read (`Option.parse`), what a config item gets (`options`), what a resumed run
compares (`settings`, `refuse_changes`) and the page `docs/options.md`. `refuse_unknown`
refuses other names; no config calls it yet.
"""

from crossd.options.changed_settings import changes, refuse_changes
from crossd.options.declared import OPTIONS, Options, declared, options, refuse_unknown, settings
from crossd.options.option import Option

__all__ = [
    "OPTIONS",
    "Option",
    "Options",
    "changes",
    "declared",
    "options",
    "refuse_changes",
    "refuse_unknown",
    "settings",
]
