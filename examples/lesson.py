"""The lesson, as a short program: train a network of 41 numbers on four samples.

python examples/lesson.py
"""

import random

import talweg as tw

xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]

random.seed(42)
model = tw.MLP(3, [4, 4, 1])

# The loop as on the blackboard: forward, loss, backward, update.
for step in range(50):
    predictions = [model(x) for x in xs]
    loss = sum((p - y) ** 2 for p, y in zip(predictions, ys, strict=True))

    model.zero_grad()
    loss.backward()

    for p in model.parameters():
        p.data -= 0.05 * p.grad

    if step == 0 or (step + 1) % 5 == 0:
        print(f"step {step + 1:3d}   loss {loss.data:.6f}")

for x, y in zip(xs, ys, strict=True):
    print(f"prediction {model(x).data:7.4f}   target {y:4.1f}")

# The same in one call: the same weights, to the last bit.
again = tw.MLP(3, [4, 4, 1], rng=random.Random(42))
history = tw.train(again, tw.lesson_data(), optimizer=tw.SGD(lr=0.05), steps=50)
print("the same weights by tw.train:", again.state_dict() == model.state_dict())

# Its last section: four learning rates.
result = tw.sweep(
    lambda rng: tw.MLP(3, [4, 4, 1], rng=rng),
    tw.lesson_data(),
    learning_rates=[0.001, 0.01, 0.1, 1.0],
    seeds=[42],
)
for run in result.runs:
    print(f"rate {run.learning_rate:5g}   {run.summary}")
