"""One attempt at a bulk change, step by step as the run's graph names them.

`Execution` is the face; the steps are modules beside it: `devices` drives the devices of a batch through the carrier
(`sending`, `readback`, `verification`), `outcomes` turns what the carrier said into moves, `amop` and `finish` follow.
"""
