"""One module a kind of node, each with two pure functions.

enter(scene, node) -> Step                what to say on arriving, or where to go on to
answer(scene, node, said) -> Step | None  what a typed answer means here; None when it means nothing here
"""
