"""The kinds of stages that a pipeline is made of."""

from systolith.plan.conv_plan import ConvPlan
from systolith.plan.gearbox_plan import GearboxPlan
from systolith.plan.pool_plan import PoolPlan

__all__ = ["EnginePlan", "StagePlan"]

EnginePlan = ConvPlan | PoolPlan
StagePlan = ConvPlan | PoolPlan | GearboxPlan
