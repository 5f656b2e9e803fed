"""A package of others that asks through the stock client, unchanged: `langchain-spicedb`, which keeps from a language model
what its user may not read. `documents.py --remit PATH`."""

import argparse

from authzed.api import v1
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_spicedb import SpiceDBAuthFilter, SpiceDBBulkPermissionTool, SpiceDBPermissionTool, SpiceDBPreFilterRetriever
from remit_server import serve
from wire import struct, update

KEY = "documents-key"
SCHEMA = """caveat on_day(allowed list<string>, day string) {
  day in allowed
}
definition user {}
definition team {
  relation member: user
}
definition document {
  relation viewer: user | user:* | team#member | user with on_day
  relation banned: user
  permission view = viewer - banned
}"""
TEXTS = {"plan": "the plan for spring", "pay": "the pay of all", "menu": "the menu of today", "memo": "the memo of friday"}
FRIDAYS = v1.ContextualizedCaveat(caveat_name="on_day", context=struct(allowed=["friday"]))
ROWS = [
    update("team:board#member@user:ann"),
    update("document:plan#viewer@team:board#member"),
    update("document:pay#viewer@user:ann"),
    update("document:menu#viewer@user:*"),
    update("document:menu#banned@user:eve"),
    # Without the day it is not known whether she may, and the package has no way to tell it.
    update("document:memo#viewer@user:bea", optional_caveat=FRIDAYS),
]
READABLE = {"ann": {"plan", "pay", "menu"}, "bea": {"menu"}, "eve": set()}


class Shelf:
    """A store of documents that is searched by words, restricted to ids as stores of vectors are."""

    def __init__(self):
        self.asked = []

    def documents(self):
        return [Document(page_content=text, metadata={"resource_id": name}) for name, text in TEXTS.items()]

    async def asimilarity_search(self, query, k, ids):
        self.asked.append(set(ids))
        words = set(query.split())
        return [each for each in self.documents() if each.metadata["resource_id"] in ids and words & set(each.page_content.split())][:k]


def names(documents):
    return {each.metadata["resource_id"] for each in documents}


def after_the_search(where):
    """A chain whose search finds everything and whose filter asks in bulk."""
    shelf = Shelf()
    chain = RunnableLambda(lambda _: shelf.documents()) | SpiceDBAuthFilter(**where)
    for user, readable in READABLE.items():
        found = chain.invoke("the", config={"configurable": {"subject_id": user}})
        assert names(found) == readable, (user, found)
    told = SpiceDBAuthFilter(**where, subject_id="ann", return_metrics=True).invoke(shelf.documents())
    assert (told.total_retrieved, told.total_authorized, told.denied_resource_ids) == (4, 3, ["memo"]), told


def before_the_search(where):
    """A retriever that looks up what may be read and searches that alone."""
    shelf = Shelf()
    retriever = SpiceDBPreFilterRetriever(vector_store=shelf, filter_factory=lambda ids: {"ids": ids}, subject_id="ann", **where)
    assert names(retriever.invoke("the")) == READABLE["ann"]
    assert names(retriever.invoke("spring")) == {"plan"}
    assert shelf.asked == [READABLE["ann"]] * 2, shelf.asked
    nothing = SpiceDBPreFilterRetriever(vector_store=shelf, filter_factory=lambda ids: {"ids": ids}, subject_id="eve", **where)
    assert nothing.invoke("the") == []


def as_tools(where):
    """What a model may call by itself."""
    one = SpiceDBPermissionTool(**where)
    assert one.invoke({"subject_id": "ann", "resource_id": "plan", "permission": "view"}) == "true"
    assert one.invoke({"subject_id": "eve", "resource_id": "menu", "permission": "view"}) == "false"
    many = SpiceDBBulkPermissionTool(**where)
    answer = many.invoke({"subject_id": "bea", "resource_ids": "plan,pay,menu", "permission": "view"})
    assert answer == "bea can access: menu", answer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remit", required=True, help="the binary to test")
    remit = parser.parse_args().remit
    with serve(remit, KEY) as address:
        client = v1.InsecureClient(address, KEY)
        client.WriteSchema(v1.WriteSchemaRequest(schema=SCHEMA))
        client.WriteRelationships(v1.WriteRelationshipsRequest(updates=ROWS))
        where = {"spicedb_endpoint": address, "spicedb_token": KEY, "resource_type": "document", "subject_type": "user"}
        for part in (after_the_search, before_the_search, as_tools):
            part(where)
            print(f"ok {part.__name__}")


if __name__ == "__main__":
    main()
