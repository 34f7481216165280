"""What people have here: their judgements, runs, chats and drafts, models at hand, export. No torch at load.

Doors: lab, judgements, runs, models, drafts, chats, chat_records, chat_engine, conversation, marking, thumbs, export,
adapter_choices, backups, guide, remarks, run_report, run_summaries, selections, train_drafts, writer.
Must not know: pages, the shell.
"""
