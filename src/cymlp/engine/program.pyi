from cymlp.plan import Plan

class Program:
    plan: Plan
    multiply_adds: int
    chunk: int
    workspace_bytes: int
    thread_costs: tuple[float, float]
    def __init__(self, plan: Plan) -> None: ...
