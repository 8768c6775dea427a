"""ctpg (Ainsworth et al. 2021, Algorithm 1) by SciPy: adjoint and gradient on the dense output of the forward solve.

    ctpgbench gradient -problem diffdrive -estimator python -python_file estimators/examples/ctpg_scipy.py -rtol 1e-8
"""
import numpy as np
from scipy.integrate import solve_ivp

order = 5


def gradient(loop, x0, accuracy):
    nx, T = loop.nx, loop.T
    control = dict(method="RK45", rtol=max(accuracy, 3e-14), atol=1e-3 * accuracy)

    def forward(t, y):  # (x, loss)
        f, w = loop.eval(t, y[:nx])
        return np.append(f, w)

    path = solve_ivp(forward, (0, T), np.append(x0, 0), dense_output=True, **control)
    terminal, alpha = loop.terminal(path.y[:nx, -1])

    def adjoint(s, y):  # (alpha, g) in s = T - t, on the spline
        return np.concatenate(loop.vjp(T - s, path.sol(T - s)[:nx], y[:nx]))

    loop.purpose("adjoint")
    back = solve_ivp(adjoint, (0, T), np.append(alpha, np.zeros(loop.np)), **control)
    loop.report(steps=len(path.t) - 1, steps_adjoint=len(back.t) - 1, bytes=8 * 7 * nx * len(path.t))
    return path.y[nx, -1] + terminal, back.y[nx:, -1], back.y[:nx, -1]
