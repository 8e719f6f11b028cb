-- How do the models write?
--
-- The paper's seven syntactic features of every response (text_features: tokens, distinct tokens, token length, stop words,
-- punctuation, list lines, adjectives and adverbs), averaged by model; and the features that sql/coefficients.sql fits.  The
-- paper takes tokens and tags from nltk, text_features from rules of its own (include/personalllm/text.h), whose adjectives and
-- adverbs agree with a statistical tagger on .96 of all tokens (docs/reference.md).
--
-- Needs: prompts, responses.  Split: test.  Keeps: temp.feature, temp.feature_name.

DROP TABLE IF EXISTS temp.feature;
CREATE TEMP TABLE feature(response_id INTEGER PRIMARY KEY, features BLOB NOT NULL);
INSERT INTO feature
  SELECT r.response_id, text_features(r.text) FROM responses r JOIN prompts p USING (prompt_id)
  WHERE p.split = 'test' AND r.text IS NOT NULL;

DROP TABLE IF EXISTS temp.feature_name;
CREATE TEMP TABLE feature_name(position INTEGER PRIMARY KEY, analysis TEXT, feature TEXT);
INSERT INTO feature_name SELECT key, 'syntax', value FROM json_each(text_feature_names());

SELECT r.model, count(*) AS responses,
       round(avg(f.vector ->> '$[0]'), 1) AS text_length, round(avg(f.vector ->> '$[1]'), 1) AS num_unique_words,
       round(avg(f.vector ->> '$[2]'), 2) AS avg_word_length, round(avg(f.vector ->> '$[3]'), 1) AS num_stopwords,
       round(avg(f.vector ->> '$[4]'), 1) AS num_punctuation, round(avg(f.vector ->> '$[5]'), 2) AS num_format,
       round(avg(f.vector ->> '$[6]'), 1) AS num_adjectives_adverbs
FROM (SELECT response_id, persona_json(features) AS vector FROM feature) f JOIN responses r USING (response_id)
GROUP BY r.model
ORDER BY text_length DESC, r.model;
