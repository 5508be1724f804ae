{{ print 1 2 3 }}|{{ print "a" 1 }}|{{ print 1 "a" 2 }}|{{ print 1.0 true nil }}|{{ println 1 "a" nil }}|{{ print }}|{{ println }}
