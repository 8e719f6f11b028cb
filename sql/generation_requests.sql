-- What is still to be asked?
--
-- Takes the run's prompts from icl_prompts into generations, and prints one request line for each that has no answer:
-- in the shell, with .mode list and .headers off, into a file (.output requests.jsonl).  After a failed or partial
-- batch this file simply holds the rest.  A prompt that was answered stays as it was asked (generation_coverage
-- counts those that would now read differently); give prompts made with other settings another label, and so another
-- run.
--
-- Needs: sql/generation_tables.sql.

INSERT INTO generations(run, user_id, prompt_id, custom_id, prompt, settings)
  SELECT s.run, p.user_id, p.prompt_id, s.run || '/' || p.user_id, p.prompt,
         json_object('prompts', json(p.settings), 'requests', json(s.request_options))
  FROM generation_setting s JOIN icl_prompts p ON p.method = s.run
  WHERE true
  ON CONFLICT (run, user_id) DO UPDATE SET prompt_id = excluded.prompt_id, prompt = excluded.prompt,
                                             settings = excluded.settings
    WHERE answer IS NULL;

SELECT chat_request(g.custom_id, g.prompt, s.request_options)
FROM generation_setting s JOIN generations g USING (run)
WHERE g.answer IS NULL
ORDER BY g.user_id;
