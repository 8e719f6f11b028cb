-- What do the models sound like?
--
-- The paper's seven semantic scores of every response, averaged by model; and the features that sql/coefficients.sql fits.  They
-- come from classifiers that this extension does not hold (formality: s-nlp/roberta-base-formality-ranker; educational value:
-- HuggingFaceFW/fineweb-edu-classifier; the five emotions: SamLowe/roberta-base-go_emotions), so you bring the scores:
--
--   CREATE TABLE semantic_scores(response_id INTEGER PRIMARY KEY, formality REAL, educational REAL, approval REAL, caring REAL,
--                                excitement REAL, joy REAL, optimism REAL);
--
-- examples/semantic_scores.sql makes such a table from word lists, to try this with.
--
-- Needs: prompts, responses, semantic_scores.  Split: test.  Keeps: temp.feature, temp.feature_name.

DROP TABLE IF EXISTS temp.feature;
CREATE TEMP TABLE feature(response_id INTEGER PRIMARY KEY, features BLOB NOT NULL);
INSERT INTO feature
  SELECT s.response_id, persona_vector(json_array(formality, educational, approval, caring, excitement, joy, optimism))
  FROM semantic_scores s JOIN responses r USING (response_id) JOIN prompts p USING (prompt_id)
  WHERE p.split = 'test';

DROP TABLE IF EXISTS temp.feature_name;
CREATE TEMP TABLE feature_name(position INTEGER PRIMARY KEY, analysis TEXT, feature TEXT);
INSERT INTO feature_name
  SELECT key, 'semantics', value
  FROM json_each('["formality", "educational", "approval", "caring", "excitement", "joy", "optimism"]');

SELECT r.model, count(*) AS responses, round(avg(formality), 3) AS formality, round(avg(educational), 3) AS educational,
       round(avg(approval), 3) AS approval, round(avg(caring), 3) AS caring, round(avg(excitement), 3) AS excitement,
       round(avg(joy), 3) AS joy, round(avg(optimism), 3) AS optimism
FROM feature JOIN semantic_scores USING (response_id) JOIN responses r USING (response_id)
GROUP BY r.model
ORDER BY r.model;
