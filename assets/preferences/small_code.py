"""Tiny Python tasks by rule: a right short function and a nearly identical one with a single bug.

This room knows its tasks and a random generator; it must not know files, models or the lab, and runs none of its code.
The checks beside each task say what a right function returns; they prove the pairs and are no part of the rows.
"""

from __future__ import annotations

import random
import textwrap
from dataclasses import dataclass
from typing import Any

OPENINGS = (
    "Write a Python function that {does}.", "In Python, write a function that {does}.",
    "Give me a Python function that {does}.", "I need a Python function that {does}.",
    "Show me a short Python function that {does}.",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What a function does, its head and right body, bugs as (right text, wrong text), and checks (args, expected)."""

    does: str
    head: str
    body: str
    bugs: tuple[tuple[str, str], ...]
    checks: tuple[tuple[tuple[Any, ...], Any], ...]

    def code(self, bug: tuple[str, str] | None = None) -> str:
        """Returns the function's source text, with one bug if given."""
        body = self.body.replace(*bug) if bug else self.body
        return f"def {self.head}:\n" + textwrap.indent(body, "    ")


def _task(does: str, head: str, body: str, bugs: str, *checks: tuple[tuple[Any, ...], Any]) -> Task:
    """Builds a task from compact text: bugs "right -> wrong | right -> wrong", each `right` once in the body."""
    pairs = tuple(tuple(bug.split(" -> ")) for bug in bugs.split(" | "))
    return Task(does, head, body, pairs, checks)


# fmt: off
TASKS = (
    _task("returns the larger of two numbers", "larger(a, b)", "return a if a > b else b",
          "a > b -> a < b | else b -> else a", ((1, 2), 2), ((5, 3), 5)),
    _task("returns the smaller of two numbers", "smaller(a, b)", "if a < b:\n    return a\nreturn b",
          "a < b -> a > b | return b -> return a", ((1, 2), 1), ((5, 3), 3)),
    _task("adds two numbers", "add(a, b)", "return a + b", "a + b -> a - b | return a + b -> a + b", ((2, 3), 5)),
    _task("subtracts the second number from the first", "subtract(a, b)", "return a - b",
          "a - b -> b - a", ((5, 3), 2)),
    _task("multiplies three numbers", "product(a, b, c)", "return a * b * c",
          "b * c -> b + c | b * c -> b * b", ((2, 3, 4), 24)),
    _task("returns the average of two numbers", "average(a, b)", "return (a + b) / 2",
          "(a + b) / 2 -> a + b / 2", ((2, 4), 3.0), ((1, 2), 1.5)),
    _task("returns the square of a number", "square(x)", "return x * x", "x * x -> x + x", ((3,), 9), ((-4,), 16)),
    _task("returns the cube of a number", "cube(n)", "return n ** 3", "** -> *", ((2,), 8), ((3,), 27)),
    _task("doubles a number", "double(n)", "return n * 2", "* -> ** | return n * 2 -> n * 2", ((3,), 6), ((5,), 10)),
    _task("halves a whole number and rounds down", "half(n)", "return n // 2", "// -> %", ((7,), 3), ((10,), 5)),
    _task("returns the remainder when a is divided by b", "remainder(a, b)", "return a % b",
          "% -> // | a % b -> b % a", ((7, 3), 1), ((9, 5), 4)),
    _task("checks whether a number is even", "is_even(n)", "return n % 2 == 0",
          "== 0 -> == 1 | return n % 2 == 0 -> n % 2 == 0", ((4,), True), ((7,), False)),
    _task("checks whether a number is odd", "is_odd(n)", "return n % 2 == 1",
          "% -> // | == -> !=", ((7,), True), ((4,), False), ((2,), False)),
    _task("checks whether a number is greater than zero", "is_positive(n)", "return n > 0",
          "> -> >= | > -> <", ((3,), True), ((0,), False), ((-1,), False)),
    _task("checks whether a number is below zero", "is_negative(n)", "return n < 0",
          "< -> <= | < -> >", ((-3,), True), ((0,), False), ((2,), False)),
    _task("returns 1 for a positive number, -1 for a negative one and 0 for zero", "sign(n)",
          "if n == 0:\n    return 0\nreturn 1 if n > 0 else -1", "n > 0 -> n < 0 | return 0 -> return 1",
          ((0,), 0), ((5,), 1), ((-5,), -1)),
    _task("returns the absolute value of a number without using abs", "absolute(n)",
          "if n < 0:\n    return -n\nreturn n", "return -n -> return n | < 0 -> > 0", ((-3,), 3), ((4,), 4)),
    _task("returns the factorial of n", "factorial(n)",
          "result = 1\nfor i in range(1, n + 1):\n    result *= i\nreturn result",
          "n + 1 -> n | result = 1 -> result = 0 | *= i -> += i", ((4,), 24), ((1,), 1)),
    _task("adds up all whole numbers from 1 to n", "sum_to(n)",
          "total = 0\nfor i in range(1, n + 1):\n    total += i\nreturn total",
          "n + 1 -> n | return total -> total | += i -> += n", ((4,), 10), ((1,), 1)),
    _task("raises a base to an exponent without using **", "power(base, exponent)",
          "result = 1\nfor _ in range(exponent):\n    result *= base\nreturn result",
          "range(exponent) -> range(base) | *= base -> *= exponent", ((2, 3), 8), ((3, 4), 81)),
    _task("limits x to the range from low to high", "clamp(x, low, high)", "return max(low, min(x, high))",
          "max -> min | min(x, high) -> min(x, low)", ((5, 1, 10), 5), ((-2, 1, 10), 1), ((12, 1, 10), 10)),
    _task("checks whether a is divisible by b", "is_divisible(a, b)", "return a % b == 0",
          "a % b -> b % a | == -> !=", ((6, 3), True), ((7, 3), False)),
    _task("checks whether x lies between low and high, both included", "is_between(x, low, high)",
          "return low <= x <= high", "x <= high -> x < high | low <= x -> low < x",
          ((5, 1, 5), True), ((1, 1, 5), True)),
    _task("returns the greatest common divisor of two numbers", "gcd(a, b)",
          "while b:\n    a, b = b, a % b\nreturn a", "return a -> return b", ((12, 8), 4), ((9, 6), 3)),
    _task("counts the digits of a non-negative whole number", "count_digits(n)", "return len(str(n))",
          "len(str(n)) -> len(str(n)) - 1", ((7,), 1), ((1234,), 4)),
    _task("returns the sum of the digits of a number", "digit_sum(n)", "return sum(int(d) for d in str(n))",
          "int(d) -> int(n)", ((23,), 5), ((104,), 5)),
    _task("returns the last digit of a number", "last_digit(n)", "return n % 10", "% -> //", ((45,), 5), ((120,), 0)),
    _task("returns the first digit of a number", "first_digit(n)", "return int(str(n)[0])",
          "[0] -> [1] | [0] -> [-1]", ((45,), 4), ((912,), 9)),
    _task("converts degrees Celsius to Fahrenheit", "to_fahrenheit(c)", "return c * 9 / 5 + 32",
          "9 / 5 -> 5 / 9 | + 32 -> - 32", ((0,), 32.0), ((100,), 212.0)),
    _task("converts degrees Fahrenheit to Celsius", "to_celsius(f)", "return (f - 32) * 5 / 9",
          "f - 32 -> f + 32 | * 5 / 9 -> * 9 / 5", ((32,), 0.0), ((212,), 100.0)),
    _task("converts kilometres to metres", "to_metres(km)", "return km * 1000", "* -> /", ((2,), 2000), ((5,), 5000)),
    _task("converts minutes to seconds", "to_seconds(minutes)", "return minutes * 60", "* -> +", ((2,), 120)),
    _task("turns hours and minutes into minutes", "total_minutes(hours, minutes)", "return hours * 60 + minutes",
          "hours * 60 + minutes -> minutes * 60 + hours | + -> -", ((1, 30), 90), ((2, 5), 125)),
    _task("splits seconds into minutes and seconds", "split_time(seconds)", "return seconds // 60, seconds % 60",
          "seconds % 60 -> seconds // 60", ((90,), (1, 30)), ((125,), (2, 5))),
    _task("returns the area of a rectangle", "area(width, height)", "return width * height",
          "* -> + | * height -> * width", ((3, 4), 12), ((2, 5), 10)),
    _task("returns the perimeter of a rectangle", "perimeter(width, height)", "return 2 * (width + height)",
          "(width + height) -> width + height | + -> *", ((3, 4), 14), ((1, 5), 12)),
    _task("returns the area of a triangle", "triangle_area(base, height)", "return base * height / 2",
          "/ 2 -> * 2 | * height -> + height", ((3, 4), 6.0), ((5, 2), 5.0)),
    _task("returns the volume of a box", "volume(length, width, height)", "return length * width * height",
          "width * height -> width + height | * height -> * width", ((2, 3, 4), 24)),
    _task("takes a discount in percent off a price", "discounted(price, percent)",
          "return price - price * percent / 100", "price - price -> price + price", ((100, 10), 90.0)),
    _task("checks whether a year is a leap year", "is_leap(year)",
          "return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)", "!= 0 -> == 0 | or year -> and year",
          ((2024,), True), ((1900,), False), ((2000,), True), ((2023,), False)),
    _task("returns the distance between two numbers", "distance(a, b)", "return abs(a - b)",
          "a - b -> a + b", ((3, 7), 4), ((7, 3), 4)),
    _task("returns the first ten multiples of n", "multiples(n)", "return [n * i for i in range(1, 11)]",
          "11 -> 10 | n * i -> n + i", ((3,), [3, 6, 9, 12, 15, 18, 21, 24, 27, 30])),
    _task("lists the whole numbers from n down to 1", "countdown(n)", "return list(range(n, 0, -1))",
          "0, -1 -> 1, -1", ((3,), [3, 2, 1]), ((1,), [1])),
    _task("lists the whole numbers from 1 to n", "count_up(n)", "return list(range(1, n + 1))",
          "n + 1 -> n | 1, n -> 0, n", ((3,), [1, 2, 3])),
    _task("lists the even numbers from 0 up to but not including n", "evens_below(n)", "return list(range(0, n, 2))",
          "0, n -> 1, n", ((5,), [0, 2, 4]), ((6,), [0, 2, 4])),
    _task("checks whether a number is prime", "is_prime(n)",
          "if n < 2:\n    return False\nreturn all(n % d for d in range(2, n))",
          "range(2, n) -> range(1, n) | n % d -> n // d | n < 2 -> n < 1", ((7,), True), ((9,), False), ((1,), False)),
    _task("returns the n-th Fibonacci number, starting from 0", "fibonacci(n)",
          "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a", "a + b -> a - b | return a -> return b",
          ((0,), 0), ((6,), 8)),
    _task("returns the next number of the Collatz sequence", "collatz(n)", "return n // 2 if n % 2 == 0 else 3 * n + 1",
          "+ 1 -> - 1 | == -> !=", ((6,), 3), ((5,), 16)),
    _task("divides a by b and rounds up", "ceil_div(a, b)", "return (a + b - 1) // b", "- 1 -> + 1 | // b -> // a",
          ((7, 3), 3), ((6, 3), 2)),
    _task("returns the middle one of three numbers", "middle(a, b, c)", "return sorted([a, b, c])[1]",
          "[1] -> [2] | [1] -> [0]", ((3, 1, 2), 2), ((9, 5, 7), 7)),
    _task("returns the largest of three numbers", "largest(a, b, c)", "return max(a, b, c)",
          "max -> min | b, c -> b, b", ((1, 2, 3), 3), ((4, 9, 2), 9)),
    _task("returns the average speed from a distance and a time", "speed(distance, time)", "return distance / time",
          "distance / time -> time / distance | / -> *", ((100, 2), 50.0)),
    _task("returns 'pass' for a score of at least 50 and 'fail' otherwise", "result(score)",
          "return 'pass' if score >= 50 else 'fail'", ">= -> > | >= -> <", ((50,), "pass"), ((49,), "fail")),
    _task("returns 'fizz' for multiples of 3 and the number itself otherwise", "fizz(n)",
          "return 'fizz' if n % 3 == 0 else n", "== -> != | % -> //", ((9,), "fizz"), ((4,), 4)),
    _task("returns True only if both arguments are true", "both(a, b)", "return a and b",
          "and -> or | and b -> and a", ((True, False), False), ((True, True), True)),
    _task("adds up the numbers in a list", "total(numbers)",
          "result = 0\nfor n in numbers:\n    result += n\nreturn result",
          "+= -> -= | += n -> = n | return result -> result", (([1, 2, 3],), 6), (([],), 0)),
    _task("multiplies all numbers in a list", "multiply(numbers)",
          "result = 1\nfor n in numbers:\n    result *= n\nreturn result", "result = 1 -> result = 0 | *= -> +=",
          (([2, 3, 4],), 24)),
    _task("returns the mean of a list of numbers", "mean(numbers)", "return sum(numbers) / len(numbers)",
          "/ -> // | / -> *", (([1, 2],), 1.5), (([3, 5],), 4.0)),
    _task("finds the largest number in a list with a loop", "find_max(numbers)",
          "best = numbers[0]\nfor n in numbers:\n    if n > best:\n        best = n\nreturn best",
          "n > best -> n < best | return best -> return n", (([3, 8, 5],), 8)),
    _task("returns the second largest number in a list", "second_largest(numbers)", "return sorted(numbers)[-2]",
          "-2 -> -1 | -2 -> 2", (([4, 2, 9, 7],), 7), (([1, 2, 3, 4, 5],), 4)),
    _task("returns the first item of a list", "first(items)", "return items[0]", "[0] -> [1]", (([3, 4, 5],), 3)),
    _task("returns the last item of a list", "last(items)", "return items[-1]",
          "-1 -> -2 | -1 -> 1", (([3, 4, 5],), 5)),
    _task("checks whether a list is empty", "is_empty(items)", "return len(items) == 0",
          "== -> != | == -> >=", (([],), True), (([1],), False)),
    _task("reverses a list", "reverse(items)", "return items[::-1]",
          "::-1 -> ::1 | ::-1 -> :-1", (([1, 2, 3],), [3, 2, 1])),
    _task("returns the first n items of a list", "take(items, n)", "return items[:n]",
          "[:n] -> [n:] | [:n] -> [:n - 1]", (([1, 2, 3], 2), [1, 2])),
    _task("returns the last n items of a list", "tail(items, n)", "return items[-n:]",
          "[-n:] -> [:-n] | [-n:] -> [n:]", (([1, 2, 3, 4], 1), [4])),
    _task("returns a list without its first item", "rest(items)", "return items[1:]",
          "1: -> :1", (([1, 2, 3],), [2, 3])),
    _task("counts how often a value occurs in a list", "count(items, value)",
          "n = 0\nfor item in items:\n    if item == value:\n        n += 1\nreturn n",
          "== -> != | n += 1 -> n = 1 | return n -> n", (([1, 2, 1, 1], 1), 3), (([5], 2), 0)),
    _task("keeps only the even numbers of a list", "evens(numbers)", "return [n for n in numbers if n % 2 == 0]",
          "== -> != | [n for -> [2 for", (([1, 2, 3, 4],), [2, 4])),
    _task("keeps only the odd numbers of a list", "odds(numbers)", "return [n for n in numbers if n % 2 == 1]",
          "% -> // | == 1 -> == 0", (([1, 2, 3, 4],), [1, 3])),
    _task("drops the negative numbers from a list", "drop_negative(numbers)", "return [n for n in numbers if n >= 0]",
          ">= -> > | >= -> <", (([0, -1, 2],), [0, 2])),
    _task("squares every number in a list", "squares(numbers)", "return [n * n for n in numbers]",
          "n * n -> n + n", (([1, 3],), [1, 9])),
    _task("sorts numbers from large to small", "descending(numbers)", "return sorted(numbers, reverse=True)",
          "True -> False", (([2, 3, 1],), [3, 2, 1])),
    _task("returns the difference between the largest and the smallest number of a list", "spread(numbers)",
          "return max(numbers) - min(numbers)", "- min -> + min | - min -> - max", (([2, 9, 4],), 7)),
    _task("removes duplicates from a list and keeps the order", "unique(items)",
          "result = []\nfor item in items:\n    if item not in result:\n        result.append(item)\nreturn result",
          "not in result -> in result | append(item) -> append(items) | return result -> return items",
          (([3, 1, 3, 2],), [3, 1, 2])),
    _task("returns the position of a value in a list, or -1 if it is missing", "find(items, value)",
          "for i, item in enumerate(items):\n    if item == value:\n        return i\nreturn -1",
          "return i -> return item | return -1 -> return 1 | == -> !=", (([5, 7], 7), 1), (([5, 7], 9), -1)),
    _task("checks whether all numbers in a list are positive", "all_positive(numbers)",
          "return all(n > 0 for n in numbers)", "all -> any | > -> >=", (([1, 2],), True), (([1, 0],), False)),
    _task("checks whether a list holds a negative number", "any_negative(numbers)",
          "return any(n < 0 for n in numbers)", "any -> all | < -> <=", (([1, -2],), True), (([0, 1],), False)),
    _task("returns every second item of a list, starting with the first", "every_second(items)",
          "return items[::2]", "::2 -> 1::2 | ::2 -> :2", (([1, 2, 3, 4, 5],), [1, 3, 5])),
    _task("adds up the even numbers of a list", "sum_even(numbers)", "return sum(n for n in numbers if n % 2 == 0)",
          "== 0 -> == 1 | sum(n -> sum(1", (([1, 2, 4],), 6)),
    _task("returns the running totals of a list", "running(numbers)",
          "sums, total = [], 0\nfor n in numbers:\n    total += n\n    sums.append(total)\nreturn sums",
          "append(total) -> append(n) | return sums -> return total | += -> -=", (([1, 2, 3],), [1, 3, 6])),
    _task("returns the differences between neighbouring numbers of a list", "steps(numbers)",
          "return [b - a for a, b in zip(numbers, numbers[1:])]", "b - a -> a - b | 1: -> 2:", (([1, 4, 9],), [3, 5])),
    _task("flattens a list of lists", "flatten(rows)", "return [item for row in rows for item in row]",
          "[item -> [row", (([[1, 2], [3]],), [1, 2, 3])),
    _task("adds two lists item by item", "add_lists(first, second)", "return [a + b for a, b in zip(first, second)]",
          "a + b -> a - b | a + b -> a + a", (([1, 2], [3, 4]), [4, 6])),
    _task("returns the dot product of two lists", "dot(first, second)",
          "return sum(a * b for a, b in zip(first, second))",
          "a * b -> a + b | a * b -> a * a", (([1, 2], [3, 4]), 11)),
    _task("moves the first item of a list to its end", "rotate(items)", "return items[1:] + items[:1]",
          "items[1:] + items[:1] -> items[:1] + items[1:] | [:1] -> [:2]", (([1, 2, 3],), [2, 3, 1])),
    _task("keeps the numbers of a list that are above a limit", "above(numbers, limit)",
          "return [n for n in numbers if n > limit]", "n > limit -> limit > n | > -> >=", (([1, 5, 9], 5), [9])),
    _task("returns the longest word of a list", "longest(words)", "return max(words, key=len)",
          "max -> min | key=len -> key=str", ((["pear", "fig", "banana"],), "banana")),
    _task("returns the items that two lists have in common", "common(first, second)",
          "return [x for x in first if x in second]", "in second -> in first | if x in -> if x not in",
          (([1, 2, 3], [2, 3, 4]), [2, 3])),
    _task("reverses a string", "reverse(text)", "return text[::-1]", "-1 -> 1 | ::-1 -> :-1", (("abc",), "cba")),
    _task("checks whether a word is a palindrome", "is_palindrome(word)", "return word == word[::-1]",
          "== -> != | -1 -> 1", (("level",), True), (("abc",), False)),
    _task("returns a text in capital letters", "shout(text)", "return text.upper()",
          "upper -> lower | return text.upper() -> text.upper()", (("Hi you",), "HI YOU")),
    _task("returns the initials of a full name", "initials(name)", "return ''.join(word[0] for word in name.split())",
          "word[0] -> name[0] | [0] -> [1]", (("Ada Lovelace",), "AL")),
    _task("counts the vowels in a text", "count_vowels(text)", "return sum(c in 'aeiou' for c in text.lower())",
          "c in 'aeiou' -> c not in 'aeiou'", (("Banana",), 3), (("Idea",), 3)),
    _task("counts the words in a text", "count_words(text)", "return len(text.split())",
          "text.split() -> text | len(text.split()) -> len(text.split()) - 1", (("one two three",), 3)),
    _task("repeats a text n times", "repeat(text, n)", "return text * n",
          "text * n -> text * (n - 1)", (("ab", 3), "ababab")),
    _task("greets a person by name", "greet(name)", "return f'Hello, {name}!'",
          "f'Hello -> 'Hello", (("Ana",), "Hello, Ana!")),
    _task("joins a list of words with spaces", "join(words)", "return ' '.join(words)",
          "' ' -> ''", ((["a", "b"],), "a b")),
    _task("checks whether two words start with the same letter", "same_start(a, b)", "return a[0] == b[0]",
          "b[0] -> a[0] | == -> !=", (("apple", "ant"), True), (("apple", "bat"), False)),
    _task("removes all spaces from a text", "strip_spaces(text)", "return text.replace(' ', '')",
          "' ', '' -> '', ' '", (("a b c",), "abc")),
    _task("returns the last three characters of a text", "last_three(text)", "return text[-3:]",
          "-3: -> 3: | -3: -> :-3", (("python",), "hon"), (("abcd",), "bcd")),
    _task("removes the first and the last character of a text", "trim(text)", "return text[1:-1]",
          "1:-1 -> 1:1 | 1:-1 -> 0:-1", (("(abc)",), "abc")),
    _task("returns the longer of two strings", "longer(a, b)", "return a if len(a) > len(b) else b",
          "> -> < | len(b) -> len(a)", (("pear", "fig"), "pear"), (("a", "bc"), "bc")),
    _task("makes the first letter of a word a capital", "capitalise(word)", "return word[0].upper() + word[1:]",
          "1: -> 0: | upper -> lower", (("tree",), "Tree")),
    _task("checks whether two words are anagrams", "is_anagram(a, b)", "return sorted(a) == sorted(b)",
          "sorted(b) -> sorted(a) | == -> !=", (("listen", "silent"), True), (("cat", "dog"), False)),
    _task("keeps only the digits of a text", "digits(text)", "return ''.join(c for c in text if c.isdigit())",
          "if c -> if not c", (("a1b22",), "122")),
    _task("counts how often each word occurs in a list", "word_counts(words)",
          "counts = {}\nfor word in words:\n    counts[word] = counts.get(word, 0) + 1\nreturn counts",
          "word, 0 -> word, 1 | + 1 -> - 1 | return counts -> counts", ((["a", "b", "a"],), {"a": 2, "b": 1})),
    _task("swaps the keys and values of a dictionary", "invert(d)", "return {v: k for k, v in d.items()}",
          "v: k -> k: v | v: k -> v: v", (({"a": 1},), {1: "a"})),
    _task("returns the key with the largest value in a dictionary", "best_key(d)", "return max(d, key=d.get)",
          "max -> min", (({"a": 3, "b": 7, "c": 5},), "b")),
    _task("adds up the prices in a dictionary", "total_price(prices)", "return sum(prices.values())",
          "values -> keys", (({"tea": 3, "bun": 2},), 5)),
)
# fmt: on


def make_rows(seed: int) -> list[dict[str, object]]:
    """Makes the pairs in TRL's conversational schema, one for each task, shuffled."""
    generator = random.Random(seed)  # noqa: S311 - data, not secrets
    return [_row(task, generator) for task in generator.sample(TASKS, len(TASKS))]


def _row(task: Task, generator: random.Random) -> dict[str, object]:
    return {
        "prompt": [{"role": "user", "content": generator.choice(OPENINGS).format(does=task.does)}],
        "chosen": [{"role": "assistant", "content": _fenced(task.code())}],
        "rejected": [{"role": "assistant", "content": _fenced(task.code(generator.choice(task.bugs)))}],
    }


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"
