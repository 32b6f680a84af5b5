"""The options of each config: declared once, with type, default and description.

From the lists come how a value is read (`Option.parse`), what a config item gets (`options`), what a resumed run
compares (`settings`, `refuse_changes`), what is refused because nothing reads it (`check_given`), and the page
`docs/options.md`.
"""

from crossd.options.changed_settings import changes, refuse_changes, with_more_epochs
from crossd.options.declared import OPTIONS, Options, declared, options, refuse_unknown, settings
from crossd.options.given import check_given, literal
from crossd.options.option import Option
