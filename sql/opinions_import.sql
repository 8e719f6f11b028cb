-- Read survey questions with ordinal answers: the input of sql/opinions.sql.
--
-- One question a line, JSON (plain or gzip); parameter :path, default examples/opinions.jsonl (a tiny original example with
-- invented shares; the paper uses the 1,506 questions of OpinionQA, which has to be brought along):
--
--   {"question": "...", "options": ["...", "..."], "ordinals": [1, 2],
--    "people": {"overall": [0.4, 0.6], "a group": [0.5, 0.5]},        shares of the answers, refusals removed; null: not known
--    "rewards": [[..., ...], [..., ...]]}                             each option's score by every reward model, in the order
--                                                                     of the users' weights
--
-- Without "rewards" an option is scored as a response to the question by style_rewards, the built-in stand-in.
--
-- Needs: nothing.  Makes the ordinary tables opinion_question, opinion_option and opinion_people.

DROP TABLE IF EXISTS opinion_question;
CREATE TABLE opinion_question(question_id INTEGER PRIMARY KEY, text TEXT NOT NULL);
DROP TABLE IF EXISTS opinion_option;
CREATE TABLE opinion_option(
  question_id INTEGER, position INTEGER, ordinal REAL NOT NULL, text TEXT NOT NULL,
  rewards TEXT NOT NULL,  -- a vector, as JSON text
  PRIMARY KEY (question_id, position)) WITHOUT ROWID;
DROP TABLE IF EXISTS opinion_people;
CREATE TABLE opinion_people(
  people TEXT, question_id INTEGER, position INTEGER, share REAL NOT NULL,
  PRIMARY KEY (people, question_id, position)) WITHOUT ROWID;

DROP TABLE IF EXISTS temp.opinion_line;
CREATE TEMP TABLE opinion_line AS SELECT line, value FROM read_jsonl(coalesce(:path, 'examples/opinions.jsonl'));
INSERT INTO opinion_question SELECT line, value ->> '$.question' FROM opinion_line;
INSERT INTO opinion_option
  SELECT line, o.key + 1, line.value ->> ('$.ordinals[' || o.key || ']'), o.value,
         coalesce(line.value -> ('$.rewards[' || o.key || ']'), persona_json(style_rewards(line.value ->> '$.question', o.value)))
  FROM opinion_line line, json_each(line.value, '$.options') o;
INSERT INTO opinion_people
  SELECT p.key, line, s.key + 1, s.value
  FROM opinion_line line, json_each(line.value, '$.people') p, json_each(p.value) s
  WHERE s.value IS NOT NULL;
DROP TABLE temp.opinion_line;

SELECT (SELECT count(*) FROM opinion_question) AS questions, (SELECT count(*) FROM opinion_option) AS options,
       (SELECT count(DISTINCT people) FROM opinion_people) AS groups_of_people;
