-- What did the paper find?
--
-- The table `published`: the figures of the paper's analyses, so that every query here can show them beside what it computes
-- for the database at hand.  They are for the published data (test split 1,000 prompts, train split 9,402) and 1,000 users.
--
--   query     the file in sql/ that computes the same
--   series    the population, model or variant
--   item      the row: a threshold, a model, a keyword, a feature, a group
--   value     the figure; low and high: the quartiles where the paper draws boxes, of accuracies the range
--   source    paper: stated there; code: a constant of the published code; printed: by an author's notebook; figure: measured
--             from a figure, to about 0.3 percentage points (win rates) or 0.03 and 0.01 (coefficients)
--
-- Needs: nothing.

DROP TABLE IF EXISTS temp.published;
CREATE TEMP TABLE published(
  query TEXT NOT NULL, series TEXT NOT NULL, item TEXT NOT NULL, value REAL, low REAL, high REAL, source TEXT NOT NULL,
  PRIMARY KEY (query, series, item)
);

-- Preference diversity: Figure 3.  Per cent of prompts whose top-vote share is at most so much; share of prompts by number of
-- winners, under the labels of the paper's bins; per cent of votes by model.
INSERT INTO published(query, series, item, value, source)
  SELECT 'top_share', s.value, printf('%d %%', t.share), t.figures ->> s.key, 'printed'
  FROM (SELECT 50 AS share, '[49.55, 42.6, 34.0, 14.15]' AS figures UNION ALL
        SELECT 75, '[93.6, 89.6, 83.0, 55.75]' UNION ALL
        SELECT 95, '[99.8, 99.8, 99.7, 85.15]') t,
       json_each('["alpha 0.01", "alpha 0.05", "alpha 0.1", "persona prompting"]') s;
INSERT INTO published(query, series, item, value, source)
  SELECT 'winners', s.value, t.label, t.figures ->> s.key, 'printed'
  FROM (SELECT 'labelled 2 or less' AS label, '[0.058, 0.053, 0.066, 0.353]' AS figures UNION ALL
        SELECT 'labelled 3', '[0.186, 0.167, 0.173, 0.330]' UNION ALL
        SELECT 'labelled 4', '[0.283, 0.277, 0.275, 0.205]' UNION ALL
        SELECT 'labelled 5', '[0.289, 0.287, 0.292, 0.057]' UNION ALL
        SELECT 'labelled 6 or more', '[0.182, 0.214, 0.192, 0.036]') t,
       json_each('["alpha 0.01", "alpha 0.05", "alpha 0.1", "persona prompting"]') s;
INSERT INTO published(query, series, item, value, source)
  SELECT 'win_rates', s.value, t.model, t.figures ->> s.key, 'figure'
  FROM (SELECT 'command-r-plus' AS model, '[10.9, 10.8, 10.6, 5.2]' AS figures UNION ALL
        SELECT 'gpt-4-turbo', '[16.5, 16.7, 17.1, 18.9]' UNION ALL
        SELECT 'gpt-4o', '[25.0, 26.3, 27.9, 22.0]' UNION ALL
        SELECT 'claude-3-opus', '[10.1, 9.7, 9.4, 5.4]' UNION ALL
        SELECT 'claude-3-sonnet', '[10.0, 9.9, 9.7, 4.8]' UNION ALL
        SELECT 'llama-3-70b-instruct', '[11.7, 11.4, 10.7, 20.0]' UNION ALL
        SELECT 'gemini-pro-1.5', '[12.4, 12.3, 12.2, 22.2]' UNION ALL
        SELECT 'mixtral-8x22b-instruct', '[3.5, 2.9, 2.5, 1.7]') t,
       json_each('["alpha 0.01", "alpha 0.05", "alpha 0.1", "persona prompting"]') s;

-- User overlap: per cent of the target users (an author's note).
INSERT INTO published(query, series, item, value, source) VALUES
  ('overlap', 'alpha 0.01', 'mean overlap below 35 %', 40, 'paper'),
  ('overlap', 'alpha 0.01', 'maximum overlap below 95 %', 20, 'paper'),
  ('overlap', 'alpha 0.1', 'mean overlap below 35 %', 20, 'paper'),
  ('overlap', 'alpha 0.1', 'maximum overlap below 95 %', 60, 'paper');

-- Prompt entropy in nats, train split: mean and number of prompts by keyword.
INSERT INTO published(query, series, item, value, source)
  SELECT 'prompt_entropy', s.value, t.keyword, CASE s.key WHEN 0 THEN t.entropy ELSE t.prompts END, 'printed'
  FROM (SELECT 'imagine' AS keyword, 21 AS prompts, 1.2758 AS entropy UNION ALL
        SELECT 'opinion', 24, 1.2770 UNION ALL SELECT 'poem', 158, 1.2328 UNION ALL SELECT 'taste', 27, 1.3332 UNION ALL
        SELECT 'who', 112, 1.1118 UNION ALL SELECT 'what', 2345, 1.1868 UNION ALL SELECT 'when', 79, 1.0091 UNION ALL
        SELECT 'where', 67, 1.0482 UNION ALL SELECT '(all)', 9402, 1.1805) t,
       json_each('["mean entropy", "prompts"]') s;
INSERT INTO published(query, series, item, value, source) VALUES
  ('prompt_entropy', 'smallest', '(all)', 0, 'printed'), ('prompt_entropy', 'largest', '(all)', 1.930, 'printed'),
  ('prompt_entropy', 'older run', 'who', 1.0992, 'printed'), ('prompt_entropy', 'older run', 'what', 1.1689, 'printed'),
  ('prompt_entropy', 'older run', 'where', 1.0327, 'printed'), ('prompt_entropy', 'older run', 'when', 0.9954, 'printed'),
  ('prompt_entropy', 'older run', 'why', 1.1447, 'printed'), ('prompt_entropy', 'older run', '(all)', 1.1645, 'printed');

-- Regressions: coefficients over users, median and quartiles; accuracy on the held-out tenth, mean and range.
INSERT INTO published VALUES
  ('syntax', 'coefficients', 'text_length', -0.54, -0.87, 0.05, 'figure'),
  ('syntax', 'coefficients', 'num_unique_words', 0.83, 0.32, 1.24, 'figure'),
  ('syntax', 'coefficients', 'avg_word_length', 0.00, -0.03, 0.02, 'figure'),
  ('syntax', 'coefficients', 'num_stopwords', -0.25, -0.37, 0.00, 'figure'),
  ('syntax', 'coefficients', 'num_punctuation', 0.37, 0.00, 0.57, 'figure'),
  ('syntax', 'coefficients', 'num_format', 0.00, -0.14, 0.07, 'figure'),
  ('syntax', 'coefficients', 'num_adjectives_adverbs', -0.06, -0.12, 0.00, 'figure'),
  ('syntax', 'accuracy', 'mean', 0.590, 0.47, 0.67, 'printed'),
  ('semantics', 'coefficients', 'formality', -0.12, -0.23, -0.03, 'figure'),
  ('semantics', 'coefficients', 'educational', 0.12, 0.10, 0.155, 'figure'),
  ('semantics', 'coefficients', 'approval', 0.00, -0.02, 0.035, 'figure'),
  ('semantics', 'coefficients', 'caring', -0.135, -0.17, -0.05, 'figure'),
  ('semantics', 'coefficients', 'excitement', -0.03, -0.05, 0.01, 'figure'),
  ('semantics', 'coefficients', 'joy', -0.04, -0.06, -0.015, 'figure'),
  ('semantics', 'coefficients', 'optimism', 0.015, -0.01, 0.04, 'figure'),
  ('semantics', 'accuracy', 'mean', 0.530, 0.46, 0.60, 'printed');

-- Prompts by source, and the reward models' mean and standard deviation.
INSERT INTO published(query, series, item, value, source) VALUES
  ('sources', 'prompts', 'hh-rlhf-helpful-base', 4797, 'paper'), ('sources', 'prompts', 'hh-rlhf-helpful-online', 3320, 'paper'),
  ('sources', 'prompts', 'HelpSteer', 1290, 'paper'), ('sources', 'prompts', 'alpacaeval-hard', 285, 'paper'),
  ('sources', 'prompts', 'alpacaeval-easy', 259, 'paper'), ('sources', 'prompts', 'alpacaeval-length', 219, 'paper'),
  ('sources', 'prompts', 'xstest-should-respond', 65, 'paper'), ('sources', 'prompts', 'llmbar-adver-neighbor', 43, 'paper'),
  ('sources', 'prompts', 'llmbar-adver-GPTInst', 34, 'paper'), ('sources', 'prompts', 'llmbar-natural', 27, 'paper'),
  ('sources', 'prompts', 'llmbar-adver-manual', 19, 'paper'), ('sources', 'prompts', 'llmbar-adver-GPTOut', 15, 'paper'),
  ('sources', 'prompts', 'mt-bench-med', 14, 'paper'), ('sources', 'prompts', 'mt-bench-hard', 10, 'paper'),
  ('sources', 'prompts', 'mt-bench-easy', 5, 'paper');
INSERT INTO published(query, series, item, value, source)
  SELECT 'reward_models', s.value, t.name, CASE s.key WHEN 0 THEN t.mean ELSE t.sd END, 'code'
  FROM (SELECT 'beaver_7b' AS name, 6.233516894340515 AS mean, 3.012641148973965 AS sd UNION ALL
        SELECT 'gemma_2b', 4.3304170169830325, 2.038611338958803 UNION ALL
        SELECT 'gemma_7b', 1.6259730467796325, 2.6096741570264976 UNION ALL
        SELECT 'llama3_sfairx', 1.0637639780044557, 2.953017385451928 UNION ALL
        SELECT 'mistral_raft', 8.309211883544922, 3.0728436748484533 UNION ALL
        SELECT 'mistral_ray', 3.0136284782886507, 1.6902981149232585 UNION ALL
        SELECT 'mistral_weqweasdas', 7.071075622558594, 2.578636650248985 UNION ALL
        SELECT 'oasst_deberta_v3', 2.8976835689097644, 1.7207868789061331 UNION ALL
        SELECT 'oasst_pythia_1b', 4.293944010734558, 2.3018268820938133 UNION ALL
        SELECT 'oasst_pythia_7b', 4.706351243972779, 1.3659142113789966) t,
       json_each('["mean", "sd"]') s;

-- OpinionQA representativeness, as the paper computes it: overall, then by group of people and model.
INSERT INTO published(query, series, item, value, source) VALUES
  ('opinions', 'PersonalLLM', 'overall', 0.838, 'printed'), ('opinions', 'PersonalLLM, the text', 'overall', 0.839, 'paper'),
  ('opinions', 'people by group, mean', 'overall', 0.949, 'printed'),
  ('opinions', 'people by group, worst', 'overall', 0.866, 'printed'),
  ('opinions', 'ada', 'overall', 0.824, 'printed'), ('opinions', 'j1-jumbo', 'overall', 0.816, 'printed'),
  ('opinions', 'j1-grande', 'overall', 0.813, 'printed'), ('opinions', 'j1-grande-v2', 'overall', 0.804, 'printed'),
  ('opinions', 'davinci', 'overall', 0.791, 'printed'), ('opinions', 'text-davinci-002', 'overall', 0.762, 'printed'),
  ('opinions', 'text-davinci-001', 'overall', 0.715, 'printed'), ('opinions', 'text-ada-001', 'overall', 0.707, 'printed'),
  ('opinions', 'text-davinci-003', 'overall', 0.701, 'printed');
INSERT INTO published(query, series, item, value, source)
  SELECT 'opinions', s.value, t.column1, t.column2 ->> s.key, 'printed'
  FROM (VALUES
    ('Northeast', '[0.811, 0.802, 0.819, 0.704, 0.838]'), ('Midwest', '[0.810, 0.797, 0.820, 0.701, 0.833]'),
    ('South', '[0.818, 0.805, 0.827, 0.696, 0.835]'), ('West', '[0.813, 0.802, 0.821, 0.704, 0.839]'),
    ('18-29', '[0.818, 0.808, 0.828, 0.700, 0.840]'), ('30-49', '[0.814, 0.804, 0.823, 0.702, 0.837]'),
    ('50-64', '[0.809, 0.797, 0.818, 0.696, 0.830]'), ('65+', '[0.792, 0.779, 0.800, 0.699, 0.818]'),
    ('Male', '[0.814, 0.802, 0.826, 0.697, 0.837]'), ('Female', '[0.810, 0.800, 0.816, 0.702, 0.833]'),
    ('Less than high school', '[0.828, 0.812, 0.835, 0.685, 0.832]'),
    ('High school graduate', '[0.816, 0.799, 0.826, 0.691, 0.832]'),
    ('Some college, no degree', '[0.814, 0.804, 0.823, 0.701, 0.836]'),
    ('Associate''s degree', '[0.811, 0.800, 0.821, 0.700, 0.834]'),
    ('College graduate', '[0.802, 0.794, 0.810, 0.710, 0.833]'), ('Postgraduate', '[0.794, 0.789, 0.800, 0.717, 0.831]'),
    ('Citizen - Yes', '[0.814, 0.802, 0.823, 0.700, 0.836]'), ('Citizen - No', '[0.816, 0.812, 0.818, 0.706, 0.833]'),
    ('Married', '[0.810, 0.799, 0.819, 0.699, 0.832]'), ('Divorced', '[0.809, 0.796, 0.817, 0.696, 0.830]'),
    ('Separated', '[0.814, 0.801, 0.818, 0.694, 0.830]'), ('Widowed', '[0.800, 0.785, 0.807, 0.694, 0.819]'),
    ('Never been married', '[0.819, 0.808, 0.828, 0.700, 0.841]'), ('Protestant', '[0.810, 0.797, 0.820, 0.694, 0.828]'),
    ('Roman Catholic', '[0.816, 0.806, 0.823, 0.702, 0.835]'), ('Mormon', '[0.789, 0.777, 0.802, 0.696, 0.819]'),
    ('Orthodox', '[0.773, 0.762, 0.781, 0.693, 0.803]'), ('Jewish', '[0.792, 0.785, 0.800, 0.707, 0.824]'),
    ('Muslim', '[0.794, 0.788, 0.792, 0.697, 0.816]'), ('Buddhist', '[0.782, 0.777, 0.783, 0.709, 0.821]'),
    ('Hindu', '[0.796, 0.794, 0.789, 0.707, 0.816]'), ('Atheist', '[0.774, 0.771, 0.784, 0.714, 0.822]'),
    ('Agnostic', '[0.785, 0.781, 0.794, 0.717, 0.828]'), ('Other religion', '[0.794, 0.790, 0.801, 0.703, 0.824]'),
    ('Nothing in particular', '[0.815, 0.802, 0.824, 0.700, 0.839]'),
    ('Rel. attend - >1x/week', '[0.807, 0.793, 0.816, 0.690, 0.824]'),
    ('Rel. attend - 1x/week', '[0.811, 0.798, 0.819, 0.696, 0.829]'),
    ('Rel. attend - 1-2x/month', '[0.818, 0.807, 0.825, 0.699, 0.833]'),
    ('Rel. attend - Few/year', '[0.817, 0.809, 0.824, 0.705, 0.837]'),
    ('Rel. attend - Seldom', '[0.811, 0.800, 0.821, 0.703, 0.835]'),
    ('Rel. attend - Never', '[0.806, 0.795, 0.816, 0.701, 0.836]'), ('Republican', '[0.791, 0.776, 0.805, 0.680, 0.812]'),
    ('Democrat', '[0.800, 0.795, 0.804, 0.719, 0.834]'), ('Independent', '[0.812, 0.801, 0.821, 0.701, 0.838]'),
    ('Other party', '[0.820, 0.804, 0.832, 0.693, 0.839]'), ('Less than $30,000', '[0.828, 0.813, 0.833, 0.693, 0.838]'),
    ('$30,000-$50,000', '[0.814, 0.802, 0.822, 0.698, 0.834]'), ('$50,000-$75,000', '[0.807, 0.796, 0.816, 0.703, 0.833]'),
    ('$75,000-$100,000', '[0.800, 0.791, 0.811, 0.705, 0.829]'),
    ('$100,000 or more', '[0.797, 0.790, 0.807, 0.708, 0.831]'),
    ('Very conservative', '[0.797, 0.778, 0.811, 0.662, 0.811]'), ('Conservative', '[0.796, 0.780, 0.810, 0.684, 0.817]'),
    ('Moderate', '[0.814, 0.804, 0.822, 0.706, 0.838]'), ('Liberal', '[0.792, 0.788, 0.799, 0.721, 0.833]'),
    ('Very liberal', '[0.785, 0.782, 0.791, 0.712, 0.825]'), ('White', '[0.807, 0.794, 0.817, 0.699, 0.832]'),
    ('Black', '[0.820, 0.812, 0.823, 0.702, 0.833]'), ('Asian', '[0.814, 0.806, 0.819, 0.708, 0.839]'),
    ('Hispanic', '[0.820, 0.810, 0.824, 0.706, 0.839]'), ('Other race', '[0.801, 0.783, 0.807, 0.681, 0.818]')) t,
       json_each('["j1-jumbo", "j1-grande-v2", "ada", "text-davinci-003", "PersonalLLM"]') s;
