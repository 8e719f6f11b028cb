-- The whole benchmark on the prompts and responses that are loaded: `make demo` reads this after the bundled data.
.bail on
.mode box
.headers on
.print
.print "1. The data: prompts, and responses that reward models have scored"
SELECT p.split, count(DISTINCT p.prompt_id) AS prompts, count(*) AS responses, count(DISTINCT r.model) AS writers,
       (SELECT count(*) FROM reward_models) AS reward_models
FROM prompts p JOIN responses r USING (prompt_id) GROUP BY p.split ORDER BY p.split DESC;
.print
.print "2. Simulated users, each with a taste: three of them, and the reward model that each trusts most"
.read sql/population.sql
.print
.print "3. Do users agree?  Percentage of prompts whose most popular response gets at most so much of all votes; beside it"
.print "   the published figure, for the ten reward models and 1,000 test prompts of the paper (Figure 3)"
.read sql/top_share.sql
.print
.print "4. How many different responses to one prompt are somebody's favourite?"
.read sql/winners.sql
.print
.print "5. Who writes what users like best, and what they like least?"
.read sql/win_rates.sql
.print
.print "6. Learning a taste: users mark the best and the worst response to 1, 3, 5 or 10 prompts; each method then picks"
.print "   for them on prompts it has not seen.  top1: it picks the user's favourite.  captured: the share it gets of what"
.print "   could be gained over picking at random."
.read sql/adaptation.sql
