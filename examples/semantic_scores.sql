-- A stand-in for the scores of semantic classifiers, to try sql/semantics.sql with: words per hundred tokens from a list for each
-- score, and long words for formality.  It measures nothing but these words.
DROP TABLE IF EXISTS semantic_scores;
CREATE TABLE semantic_scores(response_id INTEGER PRIMARY KEY, formality REAL, educational REAL, approval REAL, caring REAL,
                             excitement REAL, joy REAL, optimism REAL);
INSERT INTO semantic_scores
  WITH list(score, words) AS (
    VALUES ('educational', '["because", "example", "means", "called", "reason", "think of", "works"]'),
           ('approval', '["good", "great", "right", "fine", "sensible", "well done", "fair"]'),
           ('caring', '["sorry", "take care", "gentle", "kind", "help", "hug", "feel"]'),
           ('excitement', '["!", "wow", "amazing", "exciting", "adventure", "cannot wait"]'),
           ('joy', '["happy", "glad", "smile", "laugh", "fun", "love", "enjoy"]'),
           ('optimism', '["hope", "can do", "will be", "soon", "better", "ready", "promise"]')
  ), text AS (
    SELECT response_id, lower(r.text) AS text, json_extract(persona_json(text_features(r.text)), '$[0]') AS tokens,
           json_extract(persona_json(text_features(r.text)), '$[2]') AS word_length
    FROM responses r
  ), hit AS (
    SELECT response_id, score,
           100.0 * sum((length(text) - length(replace(text, value, ''))) / length(value)) / max(tokens, 1) AS hits
    FROM text, list, json_each(words)
    GROUP BY response_id, score
  )
  SELECT response_id, word_length - 4, max(hits) FILTER (WHERE score = 'educational'), max(hits) FILTER (WHERE score = 'approval'),
         max(hits) FILTER (WHERE score = 'caring'), max(hits) FILTER (WHERE score = 'excitement'),
         max(hits) FILTER (WHERE score = 'joy'), max(hits) FILTER (WHERE score = 'optimism')
  FROM hit JOIN text USING (response_id)
  GROUP BY response_id;
