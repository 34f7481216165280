"""What labelling tools and chat front ends export."""

from __future__ import annotations

import json

from bnf_lab.data.mapping import ImportChoices
from tests.data.samples.pairs import ASKED, GOOD, JUDGED, POOR
from tests.data.samples.record import Sample, talk

Q, R = ASKED
(G, H), (P, S) = GOOD, POOR
NOBODY = "left out because nobody has judged them"
TIES = "left out because the two answers tie"
DISAGREED = "the annotators disagreed; the majority decided"
FIRST, SECOND = "response-1", "response-2"


def submitted(*values, status="submitted"):
    """Answers as version 1 keeps them: one object for each annotator."""
    return [{"user_id": f"u{i}", "value": value, "status": status} for i, value in enumerate(values)]


def by_key(answers):
    """The same as a struct of lists, as `datasets` makes it."""
    return {key: [a[key] for a in answers] for key in ("user_id", "value", "status")}


def v1(i, answers, question="preference", **more):
    q, g, p = JUDGED[i]
    return {
        "prompt": q,
        FIRST: (g, p)[i],
        SECOND: (p, g)[i],
        question: answers,
        f"{question}-suggestion": FIRST,
        f"{question}-suggestion-metadata": {"type": "model", "score": 0.9, "agent": "gpt-4"},
        "external_id": None,
        "metadata": '{"length": 12}',
        **more,
    }


def v2(i, question, answers, **more):
    q, g, p = JUDGED[i]
    return {
        "id": f"5e{i}",
        "status": "completed",
        "_server_id": "c2",
        "prompt": q,
        "response1": (g, p)[i],
        "response2": (p, g)[i],
        f"{question}.responses": answers,
        f"{question}.responses.users": ["u"] * len(answers or ()),
        f"{question}.responses.status": ["submitted"] * len(answers or ()),
        f"{question}.suggestion": "response1",
        f"{question}.suggestion.score": 0.9,
        f"{question}.suggestion.agent": "gpt-4",
        **more,
    }


def record(fields, responses):
    return {
        "id": "5e",
        "status": "completed",
        "_server_id": "c2",
        "fields": fields,
        "metadata": {"source": "x"},
        "suggestions": {},
        "responses": responses,
        "vectors": {},
    }


OPPOSITE = [{"value": SECOND, "rank": 2}, {"value": FIRST, "rank": 1}]
ORDER = [{"value": SECOND, "rank": 1}, {"value": FIRST, "rank": 2}]

ARGILLA = (
    Sample(
        "Argilla 1, hub columns",
        "Argilla columns: answers judged by annotators",
        [
            v1(0, submitted(FIRST, SECOND, FIRST)),
            v1(1, submitted(SECOND) + submitted(FIRST, status="discarded")),
            v1(0, []),
            v1(0, submitted(FIRST, SECOND)),
        ],
        JUDGED,
        said=(DISAGREED, NOBODY, TIES),
        refused={3: "nobody", 4: "without a majority"},
    ),
    Sample(
        "Argilla 1, hub columns as structs of lists",
        "Argilla columns: answers judged by annotators",
        [v1(0, by_key(submitted(FIRST, FIRST, SECOND))), v1(1, by_key(submitted(SECOND)))],
        JUDGED,
        said=(DISAGREED,),
    ),
    Sample(
        "Argilla 1, a ranking",
        "Argilla columns: answers judged by annotators",
        [v1(1, submitted(ORDER), "ranking"), v1(0, submitted(OPPOSITE, ORDER), "ranking")],
        [(R, "-" + S), (R, "+" + H)],
        said=("ranks (1 = best)", "left out (row 2)", "the annotators"),
        refused={2: "ranked exactly"},
        formats=("jsonl", "json"),
    ),
    Sample(
        "Argilla 1, records",
        "Argilla records: answers judged by annotators",
        [
            {
                "fields": {"prompt": q, FIRST: g, SECOND: p},
                "metadata": {},
                "responses": [
                    {"user_id": "u", "values": {"preference": {"value": FIRST}}, "status": "submitted"},
                    {"user_id": "w", "values": {"preference": {"value": SECOND}}, "status": "discarded"},
                    {"user_id": "x", "values": None, "status": "draft"},
                ],
                "suggestions": [],
                "external_id": None,
            }
            for q, g, p in JUDGED
        ],
        JUDGED,
        formats=("jsonl", "json"),
    ),
    Sample(
        "Argilla 2, columns",
        "Argilla columns: answers judged by annotators",
        [
            v2(0, "preference", ["response1"]),
            v2(1, "preference", ["response2", "response2"]),
            v2(0, "preference", None),
        ],
        JUDGED,
        said=(NOBODY,),
        refused={3: "nobody"},
    ),
    Sample(
        "Argilla 2, records",
        "Argilla records: answers judged by annotators",
        [
            record(
                {"prompt": talk(q), "response1": g, "response2": p},
                {"preference": [{"value": "response1", "user_id": "u"}]},
            )
            for q, g, p in JUDGED
        ],
        JUDGED,
        formats=("jsonl", "json"),
    ),
    Sample(
        "Argilla 2, ratings of one answer",
        "Argilla records: answers judged by annotators",
        [
            record({"instruction": q, "response": text}, {"quality": [{"value": n, "user_id": "u"} for n in given]})
            for q, text, given in ((Q, G, [5, 4]), (Q, P, [1]), (R, H, [4]))
        ],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H)],
        said=("preferred from a rating of 4", "their mean counts"),
        formats=("jsonl", "json"),
    ),
    Sample(
        "Argilla 2, labels of one answer",
        "Argilla columns: answers judged by annotators",
        [
            {
                "id": "5e",
                "status": "completed",
                "instruction": q,
                "response": text,
                "good.responses": given,
                "good.responses.status": ["submitted"] * len(given),
                "comment.responses": ["It is what was asked for, and short."],
            }
            for q, text, given in ((Q, G, ["yes"]), (Q, P, ["no", "no", "yes"]), (R, H, ["yes"]))
        ],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H)],
        said=(DISAGREED,),
    ),
    Sample(
        "Argilla, a rating for each answer",
        "Argilla columns: answers judged by annotators",
        [
            {
                "input": q,
                "generations-1": g,
                "generations-2": p,
                "generations-1-rating": submitted(8),
                "generations-2-rating": submitted(2),
                "ratings-rationale": submitted("The first names a fruit."),
                "external_id": None,
                "metadata": "{}",
            }
            for q, g, p in JUDGED
        ],
        [(q, text) for q, g, p in JUDGED for text in ("+" + g, "-" + p)],
        said=("preferred from a rating of 5",),
    ),
)


def task(results, data, **more):
    return {
        "id": 11,
        "annotations": [
            {
                "id": i,
                "completed_by": {"id": 1, "email": "ann@example.com"},
                "result": result,
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2024-05-01T10:00:00.000000Z",
                "lead_time": 3.1,
                **more,
            }
            for i, result in enumerate(results)
        ],
        "drafts": [],
        "predictions": [],
        "data": data,
        "meta": {},
        "inner_id": 1,
        "total_annotations": len(results),
        "updated_at": "2024-05-01T10:00:00.000000Z",
    }


def result(kind, value, to="prompt"):
    return [{"id": "x1", "type": kind, "value": value, "origin": "manual", "to_name": to, "from_name": "pw"}]


def pairwise(i, *sides, to="answer1,answer2", **more):
    q, g, p = JUDGED[i]
    data = {"prompt": q, "answer1": (g, p)[i], "answer2": (p, g)[i]}
    return task([result("pairwise", {"selected": side}, to) for side in sides], data, **more)


ITEMS = [{"id": "a", "body": P}, {"id": "b", "body": G}, {"id": "c", "body": "A brick."}]
TASK = "Label Studio: pairwise and ranked answers"

LABEL_STUDIO = (
    Sample(
        "Label Studio, pairwise",
        TASK,
        [
            pairwise(0, "left", "right", "left"),
            pairwise(1, "right"),
            pairwise(0),
            pairwise(0, "left", was_cancelled=True),
            pairwise(0, "left", "right"),
        ],
        JUDGED,
        said=(DISAGREED, NOBODY, TIES),
        refused={3: "nobody", 4: "nobody", 5: "majority"},
        formats=("json",),
    ),
    Sample(
        "Label Studio, pairwise whose left is the second answer",
        TASK,
        [pairwise(0, "right", to="answer2,answer1"), pairwise(1, "left", to="answer2,answer1")],
        JUDGED,
        formats=("json",),
    ),
    Sample(
        "Label Studio, ranker with a list",
        TASK,
        [task([result("ranker", {"ranker": ["b", "c", "a"]})], {"prompt": Q, "items": ITEMS})],
        [(Q, "+" + G), (Q, "-" + P)],
        said=("ranks (1 = best)", "1 answer left out"),
        formats=("json",),
    ),
    Sample(
        "Label Studio, ranker with buckets",
        TASK,
        [task([result("ranker", {"ranker": {"_": ["c"], "rank": ["b", "a"]}})], {"prompt": Q, "items": ITEMS})],
        [(Q, "+" + G), (Q, "-" + P)],
        said=("ranks (1 = best)",),
        formats=("json",),
    ),
    Sample(
        "Label Studio, stars for one answer",
        TASK,
        [
            task([result("rating", {"rating": n}, "response")], {"prompt": q, "response": text})
            for q, text, n in ((Q, G, 5), (Q, P, 1), (R, H, 4))
        ],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H)],
        said=("preferred from a rating of 4",),
        formats=("json",),
    ),
    Sample(
        "Label Studio, choices for one answer",
        TASK,
        [
            task([result("choices", {"choices": [said]}, "response")], {"prompt": q, "response": text})
            for q, text, said in ((Q, G, "Good"), (Q, P, "Bad"), (R, H, "Good"))
        ],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H)],
        formats=("json",),
    ),
    Sample(
        "Label Studio, JSON_MIN pairwise",
        TASK,
        [
            {
                "prompt": q,
                "answer1": (g, p)[i],
                "answer2": (p, g)[i],
                "id": i,
                "comparison": [{"selected": ("left", "right")[i]}],
                "annotator": 1,
                "annotation_id": 7,
                "created_at": "2024-05-01T10:00:00.000000Z",
                "updated_at": "2024-05-01T10:00:00.000000Z",
                "lead_time": 3.1,
            }
            for i, (q, g, p) in enumerate(JUDGED)
        ],
        JUDGED,
        formats=("json",),
    ),
    Sample(
        "Label Studio, CSV pairwise",
        TASK,
        [
            {
                "prompt": q,
                "answer1": (g, p)[i],
                "answer2": (p, g)[i],
                "id": i,
                "comparison": json.dumps([{"selected": ("left", "right")[i]}]),
                "annotator": 1,
                "annotation_id": 7,
                "created_at": "2024-05-01T10:00:00.000000Z",
                "lead_time": 3.1,
            }
            for i, (q, g, p) in enumerate(JUDGED)
        ],
        JUDGED,
        formats=("csv",),
    ),
    Sample(
        "Label Studio, JSON_MIN stars",
        TASK,
        [
            {"prompt": q, "response": text, "id": 1, "stars": [{"rating": n}], "annotator": 1, "annotation_id": 7}
            for q, text, n in ((Q, G, 5), (Q, P, 1), (R, H, 4))
        ],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H)],
        said=("preferred from a rating of 4",),
        formats=("json",),
    ),
)


def chat(answers, at, rating, *, arena=False, finer=None, siblings=None, flat=False, **more):
    """A row of Open WebUI's feedback export: a question with one or two answers, of which one is rated."""
    tree = {"u": {"id": "u", "parentId": None, "childrenIds": list("ab")[: len(answers)], "role": "user", "content": Q}}
    for name, text in zip("ab", answers, strict=False):
        tree[name] = {
            "id": name,
            "parentId": "u",
            "childrenIds": [],
            "role": "assistant",
            "content": text,
            "model": f"model-{name}",
            "modelName": f"Model {name}",
            "timestamp": 1716000000,
            "done": True,
        }
    listed = [tree["u"], tree[at]]
    inner = {"title": "Fruit", "models": ["model-a"], "messages": listed, "system": "You help."}
    if not flat:
        inner["history"] = {"messages": tree, "currentId": at}
    return {
        "id": "f0",
        "user_id": "u0",
        "version": 0,
        "type": "rating",
        "data": {
            "rating": rating,
            "model_id": f"model-{at}",
            "sibling_model_ids": siblings,
            "reason": "accurate_information",
            "comment": "",
            "tags": ["food"],
            "details": {"rating": finer},
        },
        "meta": {
            "arena": arena,
            "model_id": f"model-{at}",
            "message_id": at,
            "message_index": 2,
            "chat_id": "c0",
            "base_models": {"model-a": None},
        },
        "snapshot": {"chat": {"id": "c0", "user_id": "u0", "title": "Fruit", "chat": inner, "archived": False}},
        "created_at": 1716000000,
        "updated_at": 1716000001,
        "user": {"id": "u0", "name": "Ann", "email": "ann@example.com", "role": "admin"},
        **more,
    }


WEBUI = "Open WebUI feedback: thumbs on answers"
SAID = f"system: You help. | {Q}"

CHATS = (
    Sample(
        "Open WebUI",
        WEBUI,
        [
            chat((G,), "a", 1),
            chat((P,), "a", -1, flat=True),
            chat((G, P), "b", -1, arena=True, siblings=["model-a"]),
            chat((G,), "a", None),
        ],
        [(SAID, "+" + G), (SAID, "-" + P), (SAID, "-" + P)],
        said=(NOBODY, "beside it", "1 duplicate"),
        refused={4: "neither thumbs up nor thumbs down"},
        decides=("thumbs", "details.rating"),
        formats=("json",),
    ),
    Sample(
        "Open WebUI by the finer rating",
        "Open WebUI feedback: ratings of answers",
        [chat((G,), "a", 1, finer=9), chat((P,), "a", -1, finer=2), chat((H,), "a", 1, finer=6), chat((S,), "a", 1)],
        [(SAID, "+" + G), (SAID, "-" + P), (SAID, "+" + H)],
        said=(NOBODY, "preferred from a rating of 6"),
        refused={4: "no rating"},
        decides=("details.rating", "thumbs"),
        choices=ImportChoices(decides="details.rating"),
        formats=("json",),
    ),
    Sample(
        "Open WebUI, exported chats",
        "Open WebUI chats: thumbs on answers",
        [
            {
                "id": "c1",
                "user_id": "u0",
                "title": "Fruit",
                "chat": {
                    "title": "Fruit",
                    "models": ["m"],
                    "history": {
                        "currentId": "d",
                        "messages": {
                            "a": {"id": "a", "parentId": None, "childrenIds": ["b"], "role": "user", "content": Q},
                            "b": {
                                "id": "b",
                                "parentId": "a",
                                "childrenIds": ["c"],
                                "role": "assistant",
                                "content": P,
                                "annotation": {"rating": -1, "reason": "", "comment": ""},
                                "feedbackId": "f1",
                            },
                            "c": {"id": "c", "parentId": "b", "childrenIds": ["d"], "role": "user", "content": R},
                            "d": {
                                "id": "d",
                                "parentId": "c",
                                "childrenIds": [],
                                "role": "assistant",
                                "content": H,
                                "annotation": {"rating": 1},
                            },
                        },
                    },
                    "messages": [],
                },
                "updated_at": 1716000000,
                "created_at": 1716000000,
            }
        ],
        [(Q, "-" + P), (f"{Q} | assistant: {P} | {R}", "+" + H)],
        formats=("json",),
    ),
    Sample(
        "Langfuse traces with scores",
        "Langfuse: traces with scores",
        [
            {
                "id": f"t{i}",
                "timestamp": "2024-05-01T10:00:00.000Z",
                "name": "chat",
                "userId": "u0",
                "sessionId": None,
                "input": {"messages": talk(q, system="You help.")},
                "output": {"role": "assistant", "content": text},
                "metadata": {"env": "prod"},
                "tags": ["x"],
                "release": None,
                "scores": scores,
            }
            for i, (q, text, scores) in enumerate(
                (
                    (Q, G, [{"name": "user-feedback", "value": 1, "source": "API", "comment": "good one"}]),
                    (R, S, [{"name": "user-feedback", "value": 0, "source": "API", "comment": None}]),
                    (R, H, []),
                )
            )
        ],
        [(SAID, "+" + G), (f"system: You help. | {R}", "-" + S)],
        said=(NOBODY, "preferred from a rating of"),
        refused={3: "no score"},
        decides=("user-feedback",),
        formats=("json", "jsonl"),
    ),
    Sample(
        "LangSmith runs with feedback",
        "LangSmith: runs with feedback",
        [
            {
                "id": "r1",
                "name": "ChatOpenAI",
                "run_type": "llm",
                "start_time": "2024-05-01T10:00:00",
                "inputs": {"messages": [[{"type": "human", "data": {"content": q}}]]} if i else {"question": q},
                "outputs": {"output": text},
                "feedback_stats": {"user_score": {"n": 1, "avg": score}},
                "error": None,
                "tags": [],
            }
            for i, (q, text, score) in enumerate(((Q, G, 1.0), (R, S, 0.0)))
        ],
        [(Q, "+" + G), (R, "-" + S)],
        said=("preferred from a rating of",),
        decides=("user_score",),
        formats=("json", "jsonl"),
    ),
    Sample(
        "Prodigy, a choice between two",
        "Prodigy: chosen options",
        [
            {
                "text": q,
                "options": [{"id": 1, "text": (g, p)[i]}, {"id": 2, "text": (p, g)[i]}],
                "_input_hash": 1,
                "_task_hash": 2,
                "_view_id": "choice",
                "config": {"choice_style": "single"},
                "accept": [i + 1],
                "answer": ("accept", "accept", "ignore")[n],
                "_timestamp": 1716000000,
                "_annotator_id": "ann",
                "_session_id": "ann",
            }
            for n, (i, (q, g, p)) in enumerate([*enumerate(JUDGED), (0, JUDGED[0])])
        ],
        JUDGED,
        said=(NOBODY,),
        refused={3: "ignore"},
        formats=("jsonl",),
    ),
    Sample(
        "Prodigy, one answer accepted or rejected",
        "Prodigy: accepted and rejected answers",
        [
            {
                "prompt": q,
                "response": text,
                "_input_hash": 1,
                "_task_hash": 2,
                "_view_id": "text",
                "answer": said,
                "_timestamp": 1716000000,
            }
            for q, text, said in ((Q, G, "accept"), (Q, P, "reject"), (R, H, "ignore"))
        ],
        [(Q, "+" + G), (Q, "-" + P)],
        said=(NOBODY, "'accept' is preferred (1)"),
        refused={3: "ignore"},
        formats=("jsonl",),
    ),
)

SAMPLES = (*ARGILLA, *LABEL_STUDIO, *CHATS)
