from cymlp.plan import Plan

class Program:
    plan: Plan
    multiply_adds: int
    chunk: int
    workspace_bytes: int
    def __init__(self, plan: Plan) -> None: ...
