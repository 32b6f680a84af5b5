"""Projection-consistency distillation: a 3D network learns, without labels, what frozen 2D views say of a volume."""

from crossd.distillation.lesson import Lesson, read_lesson
from crossd.distillation.student import PrepareVolumes, Student, explained_metrics
