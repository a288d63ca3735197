"""Distillation: teachers, their logits of a batch, and the table that keeps logits in a file."""

from systolith.train.teaching.logit_table import LogitTable
from systolith.train.teaching.teacher import DenseTeacher, Normalized, Teacher
from systolith.train.teaching.teacher_logits import TeacherLogits

__all__ = ["DenseTeacher", "LogitTable", "Normalized", "Teacher", "TeacherLogits"]
