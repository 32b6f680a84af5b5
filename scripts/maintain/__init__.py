"""What goes into a release: the zoo form, the licences of dependencies, the figures of the model card, checks."""
