"""Random numbers by counter: Philox4x32-10, dropout masks and permutations."""

import numpy as np

__all__ = ["dropout", "permutation", "philox"]

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_INCREMENTS = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
# Third word of the counters of a permutation; those of dropout have the layer there.
_PERMUTATION = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32 with ten rounds.

    J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw: "Parallel random
    numbers: as easy as 1, 2, 3", SC'11, 2011.

    Parameters
    ----------
    counter : array_like of int, shape (..., 4)
        Counters, four 32-bit words each.
    key : int
        64-bit key; its low half is the first word.

    Returns
    -------
    ndarray of uint32, shape (..., 4)
        Random words.

    Examples
    --------
    >>> [hex(word) for word in philox([0, 0, 0, 0], key=0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    words = np.moveaxis(np.asarray(counter).astype(np.uint32).astype(np.uint64), -1, 0)
    c0, c1, c2, c3 = words
    key0, key1 = int(key) & _LOW, int(key) >> 32 & _LOW
    for _ in range(10):
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0 = product1 >> 32 ^ c1 ^ np.uint64(key0)
        c1 = product1 & _LOW
        c2 = product0 >> 32 ^ c3 ^ np.uint64(key1)
        c3 = product0 & _LOW
        key0 = key0 + _KEY_INCREMENTS[0] & _LOW
        key1 = key1 + _KEY_INCREMENTS[1] & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def dropout(x, rate, *, key, step, layer=0, first_row=0):
    """Zero elements with probability `rate` and divide the others by 1 - rate.

    Which elements fall depends on (key, step, layer, row, column) alone. The
    same call on the gradient is the backward pass.

    Parameters
    ----------
    x : array_like, shape (n, cols)
        Values, or gradients.
    rate : float
        Probability of dropping, at least 0 and less than 1. An element falls
        where its random word is less than floor(rate * 2**32).
    key : int
        64-bit key of the generator.
    step, layer : int
        Number of the training step and of the dropout layer.
    first_row : int
        Number of the first row within the batch.

    Returns
    -------
    ndarray, shape (n, cols)
        With zeros in the place of dropped elements. Column c takes word
        c // q of the counter (c % q, row, layer, step), q being cols / 4 rounded
        up.

    Examples
    --------
    >>> dropout([[1, 1, 1, 1, 1, 1]], 0.5, key=0, step=1)
    array([[0., 2., 0., 0., 2., 0.]])
    """
    x = np.asarray(x, dtype=np.float64)
    rows, cols = x.shape
    quarter = (cols + 3) // 4
    counter = np.zeros((rows, quarter, 4), dtype=np.uint32)
    counter[..., 0] = np.arange(quarter)
    counter[..., 1] = (np.arange(first_row, first_row + rows) & _LOW)[:, None]
    counter[..., 2] = layer
    counter[..., 3] = step & _LOW
    words = np.swapaxes(philox(counter, key), 1, 2).reshape(rows, 4 * quarter)[:, :cols]
    kept = words >= int(rate * 2**32)
    return np.where(kept, x * (1.0 / (1.0 - rate)), 0.0)


def permutation(n, *, key, epoch):
    """Random order of 0 ... n - 1, by Fisher and Yates' shuffle.

    Parameters
    ----------
    n : int
        How many.
    key : int
        64-bit key of the generator.
    epoch : int
        Another epoch has another order.

    Returns
    -------
    ndarray of int64, shape (n,)
        The order. For i = n - 1 ... 1, place i is swapped with place
        floor(u * (i + 1) / 2**64), u being the first two words of the counter
        (i low, i high, 2**32 - 1, epoch).

    Examples
    --------
    >>> permutation(6, key=1, epoch=0)
    array([1, 4, 5, 3, 2, 0])
    """
    places = np.arange(n, dtype=np.uint64)
    counter = np.empty((n, 4), dtype=np.uint32)
    counter[:, 0] = places & _LOW
    counter[:, 1] = places >> 32
    counter[:, 2] = _PERMUTATION
    counter[:, 3] = epoch & _LOW
    words = philox(counter, key).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        u = words[i][0] | words[i][1] << 32
        j = u * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)
