"""A spam filter that reports numbers of its own, beside those that every container has."""

import json

import requests
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer

SPAM = [
    "win a free prize now",
    "free money, call now to claim your prize",
    "urgent: you have won a free cruise, reply to claim",
    "cheap loans, no credit check, call now",
]
HAM = [
    "are we still on for lunch tomorrow",
    "the meeting moved to three, see you there",
    "can you send me the report when it is done",
    "happy birthday, see you at the party",
]

vectorizer = CountVectorizer()
classifier = MultinomialNB()
classifier.fit(vectorizer.fit_transform(SPAM + HAM), [1] * len(SPAM) + [0] * len(HAM))


def is_spam(texts):
    import time

    import clipper_admin.metrics as metrics

    # Adding a metric again does nothing, so this may stand where it is needed.
    metrics.add_metric("spam_count", "Counter", "messages taken for spam")
    metrics.add_metric("ham_count", "Counter", "messages taken for good")
    metrics.add_metric("spam_probability", "Gauge", "mean over the last batch")
    metrics.add_metric("word_count", "Histogram", "words per message", [5, 10, 20, float("inf")])
    metrics.add_metric("vectorize_time_ms", "Summary", "time to count words")

    start = time.time()
    features = vectorizer.transform(texts)
    metrics.report_metric("vectorize_time_ms", (time.time() - start) * 1000.0)
    probabilities = classifier.predict_proba(features)[:, 1]
    metrics.report_metric("spam_probability", probabilities.mean())
    answers = []
    for text, probability in zip(texts, probabilities):
        metrics.report_metric("word_count", len(text.split()))
        metrics.report_metric("spam_count" if probability > 0.5 else "ham_count", 1)
        answers.append("spam" if probability > 0.5 else "ham")
    return answers


def predict(addr, text):
    url = "http://%s/spam-filter/predict" % addr
    headers = {"Content-type": "application/json"}
    r = requests.post(url, headers=headers, data=json.dumps({"input": text}), timeout=10)
    print("%s: %s" % (r.json()["output"], text))


if __name__ == "__main__":
    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.start_clipper()
    python_deployer.create_endpoint(clipper_conn, "spam-filter", "strings", is_spam)
    addr = clipper_conn.get_query_addr()
    for text in ["claim your free prize", "you have won free money", "see you at lunch"]:
        predict(addr, text)
