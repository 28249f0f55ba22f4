"""Linear regression as a lesson: model, loss, gradients, update. What `method="autograd"` runs on."""

from __future__ import annotations

import torch
from torch import Tensor

from leastwise.errors import DataError


class LinearRegression:
    """`y_hat = X W + b`, learned by gradient descent: forward, mse_loss, backward, step; and again.

    `weights` (input_dim, output_dim) begin as random normal numbers, `bias` (output_dim,) as zeros.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(100, 1)
    >>> y = 2 * x + 3 + 0.1 * torch.randn(100, 1)
    >>> model = LinearRegression(input_dim=1, output_dim=1, learning_rate=0.1)
    >>> model.train(x, y, epochs=20)
    Epoch 1/20, Loss: 19.7387
    Epoch 10/20, Loss: 0.2763
    Epoch 20/20, Loss: 0.0107
    """

    def __init__(self, input_dim: int, output_dim: int, learning_rate: float = 0.01) -> None:
        self.weights = torch.randn(input_dim, output_dim, requires_grad=True)  # W (p, k)
        self.bias = torch.zeros(output_dim, requires_grad=True)  # b (k,)
        self.lr = learning_rate

    def forward(self, X: Tensor) -> Tensor:
        """Predictions (n, k) of X (n, p)."""
        if not isinstance(X, Tensor) or X.dtype != self.weights.dtype:
            kind = X.dtype if isinstance(X, Tensor) else type(X).__name__
            raise DataError(
                f"X is {kind}, and the weights are {self.weights.dtype}: they cannot be multiplied. Pass "
                f"torch.as_tensor(X).to({self.weights.dtype}), and y likewise."
            )
        return X @ self.weights + self.bias  # (n, p) @ (p, k) + (k,): b is added to every row

    def mse_loss(self, predictions: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean of squared errors over n rows and k targets; `weight` (n,) has the mean 1."""
        if predictions.shape != targets.shape:
            raise DataError(
                f"The targets have shape {tuple(targets.shape)} and the predictions "
                f"{tuple(predictions.shape)}: torch would pair every row with every other. Pass "
                "y.reshape(-1, 1)."
            )
        squares = (predictions - targets).pow(2)
        return (squares if weight is None else weight[:, None] * squares).mean()

    def step(self) -> None:
        """One step against the gradients, which are cleared: backward() adds to what is there."""
        with torch.no_grad():  # the update is no part of the model: do not record it
            for values in (self.weights, self.bias):
                if values.grad is not None:
                    values -= self.lr * values.grad
                    values.grad.zero_()

    def train(self, X: Tensor, y: Tensor, epochs: int = 100) -> None:
        """`epochs` steps, with the loss before the first and every tenth of them told."""
        for epoch in range(1, epochs + 1):
            loss = self.mse_loss(self.forward(X), y)  # forward, loss
            loss.backward()  # gradients
            self.step()  # update
            if epoch == 1 or epoch % 10 == 0:
                print(f"Epoch {epoch}/{epochs}, Loss: {loss.item():.4f}")

    def predict(self, X: Tensor) -> Tensor:
        """Predictions (n, k), recorded by nothing."""
        with torch.no_grad():
            return self.forward(X)
