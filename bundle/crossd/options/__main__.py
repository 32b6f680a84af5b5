"""`python -m crossd.options > docs/options.md`"""

from crossd.options.page import page

print(page(), end="")
